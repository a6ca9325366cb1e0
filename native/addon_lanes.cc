// Lanes for JavaScript: blocking calls on the files of one file system, on threads of its own, so
// that a server that is dead keeps these and no others. A lane lives as long as the process, which
// does not wait for its threads when it ends.

#include <napi.h>
#include <sys/stat.h>

#include <functional>
#include <memory>
#include <mutex>

#include "addon.h"
#include "addon_plan.h"
#include "addon_values.h"
#include "source.h"
#include "source_hashes.h"
#include "work_queue.h"

namespace refmount {
namespace {

/// What a thread of a lane reads into when it hashes.
constexpr size_t kBufferBytes = 256 * 1024;
constexpr size_t kMostThreads = 1024;
/// Children of a directory that are looked at in one job.
constexpr size_t kChildrenAtOnce = 256;

/// False when the process ends: Node still empties its queues then, but no JavaScript may run.
bool RunsJavaScript(napi_env env) {
  napi_value array, value;
  return env != nullptr && napi_create_array(env, &array) == napi_ok &&
         napi_get_undefined(env, &value) == napi_ok &&
         napi_set_element(env, array, 0, value) == napi_ok;
}

class Lane {
 public:
  Lane(Napi::Env env, size_t threads) : threads_(threads, kBufferBytes) {
    queue_ = Queue::New(env, "refmount", 0, 1, this);
    // Whoever waits for a lane has a deadline, which keeps the process; a job alone does not.
    queue_.Unref(env);
    napi_add_env_cleanup_hook(env, AtExit, this);
  }

  /// Has `work` done on a thread and makes its value, back on the main thread, with `to_value`.
  /// Both are destroyed there.
  template <class Out>
  Napi::Promise Start(Napi::Env env, std::function<Result<Out>(uint8_t*)> work,
                      std::function<Napi::Value(Napi::Env, Out&)> to_value) {
    struct Job {
      std::function<Result<Out>(uint8_t*)> work;
      std::function<Napi::Value(Napi::Env, Out&)> to_value;
      Napi::Promise::Deferred deferred;
      std::unique_ptr<Result<Out>> outcome;
    };
    auto* job =
        new Job{std::move(work), std::move(to_value), Napi::Promise::Deferred::New(env), nullptr};
    const Napi::Promise promise = job->deferred.Promise();
    threads_.Add([this, job](uint8_t* buffer) {
      job->outcome = std::make_unique<Result<Out>>(job->work(buffer));
      Post([job](Napi::Env env) {
        const std::unique_ptr<Job> owned(job);
        if (job->outcome->ok()) {
          job->deferred.Resolve(job->to_value(env, job->outcome->value()));
        } else {
          job->deferred.Reject(MakeError(env, job->outcome->failure()).Value());
        }
      });
    });
    return promise;
  }

  using Event = std::function<void(Napi::Env)>;

  /// Runs `event` on the main thread, in order. From any thread.
  void Post(Event event) {
    // Left alone when the process ends: what it holds belongs to the main thread.
    auto* owned = new Event(std::move(event));
    const std::lock_guard lock(mutex_);
    if (!closed_) queue_.NonBlockingCall(owned);
  }

 private:
  static void RunEvent(Napi::Env env, Napi::Function, Lane*, Event* event) {
    const std::unique_ptr<Event> owned(event);
    if (RunsJavaScript(env)) (*event)(env);
  }
  using Queue = Napi::TypedThreadSafeFunction<Lane, Event, RunEvent>;

  static void AtExit(void* lane) {
    auto* self = static_cast<Lane*>(lane);
    const std::lock_guard lock(self->mutex_);
    self->closed_ = true;
  }

  std::mutex mutex_;
  bool closed_ = false;
  Queue queue_;
  WorkQueue threads_;
};

const char* KindOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "link";
    case S_IFIFO:
      return "a named pipe";
    case S_IFSOCK:
      return "a socket";
    case S_IFBLK:
    case S_IFCHR:
      return "a device";
    default:
      return "a special file";
  }
}

/// Floor, also before 1970.
int64_t Milliseconds(int64_t nanoseconds) {
  constexpr int64_t kNanoseconds = 1'000'000;
  return nanoseconds / kNanoseconds - (nanoseconds % kNanoseconds < 0 ? 1 : 0);
}

Napi::Number NumberOf(Napi::Env env, uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

void SetStatus(Napi::Env env, const SourceStatus& status, Napi::Object* object) {
  object->Set("kind", KindOf(status.mode));
  object->Set("sizeBytes", NumberOf(env, status.size_bytes));
  object->Set("mtimeMs", Napi::Number::New(env, static_cast<double>(Milliseconds(status.mtime_ns))));
}

Napi::Object StatusValue(Napi::Env env, const SourceStatus& status) {
  Napi::Object object = Napi::Object::New(env);
  SetStatus(env, status, &object);
  std::string stamp;
  for (const uint64_t part :
       {status.device, status.inode, status.size_bytes, static_cast<uint64_t>(status.mtime_ns),
        static_cast<uint64_t>(status.ctime_ns)}) {
    stamp += std::to_string(part) + ":";
  }
  object.Set("stamp", stamp);
  return object;
}

Napi::Value ChildrenValue(Napi::Env env, const std::vector<SourceChild>& children) {
  Napi::Array array = Napi::Array::New(env, children.size());
  for (uint32_t i = 0; i < children.size(); i++) {
    const SourceChild& child = children[i];
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", child.name);
    if (child.error == 0) {
      SetStatus(env, child.status, &object);
    } else {
      object.Set("error", MakeError(env, Failure{child.error, "lstat", child.name, {}}).Value());
    }
    array.Set(i, object);
  }
  return array;
}

Napi::Value HashedValue(Napi::Env env, std::vector<HashedSource>& sources) {
  Napi::Array array = Napi::Array::New(env, sources.size());
  for (uint32_t i = 0; i < sources.size(); i++) {
    HashedSource& source = sources[i];
    if (source.failure) {
      array.Set(i, MakeError(env, *source.failure).Value());
      continue;
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("sizeBytes", NumberOf(env, source.hashes.size_bytes));
    object.Set("digests", ToObject(env, source.hashes));
    object.Set("chunks", source.hashes.size_bytes > kChunkBytes
                             ? ToBuffer(env, std::move(source.hashes.chunks))
                             : env.Null());
    object.Set("changed", source.changed);
    array.Set(i, object);
  }
  return array;
}

Napi::Value Undefined(Napi::Env env, std::monostate&) { return env.Undefined(); }

Napi::Value Stat(const Napi::CallbackInfo& info, Lane* lane) {
  return lane->Start<SourceStatus>(
      info.Env(),
      [path = std::string(info[0].ToString()), follow = bool(info[1].ToBoolean())](uint8_t*) {
        return StatSource(path, follow);
      },
      [](Napi::Env env, SourceStatus& status) -> Napi::Value { return StatusValue(env, status); });
}

Napi::Value ReadLink(const Napi::CallbackInfo& info, Lane* lane) {
  return lane->Start<std::string>(
      info.Env(),
      [path = std::string(info[0].ToString())](uint8_t*) { return ReadSourceLink(path); },
      [](Napi::Env env, std::string& target) -> Napi::Value {
        if (target.empty()) return env.Null();
        return Napi::String::New(env, target);
      });
}

Napi::Value Open(const Napi::CallbackInfo& info, Lane* lane) {
  return lane->Start<OpenSource>(
      info.Env(),
      [path = std::string(info[0].ToString()), follow = bool(info[1].ToBoolean())](uint8_t*) {
        return OpenSource::Open(path, follow);
      },
      [](Napi::Env env, OpenSource& opened) -> Napi::Value {
        Napi::Object object = StatusValue(env, opened.status);
        object.Set("fd", Napi::Number::New(env, opened.fd.release()));
        return object;
      });
}

Napi::Value Read(const Napi::CallbackInfo& info, Lane* lane) {
  if (!IsBytes(info[1])) return ThrowNotBytes(info.Env());
  const auto lent = std::make_shared<LentBytes>(info[1].As<Napi::Uint8Array>());
  return lane->Start<size_t>(
      info.Env(),
      // The memory is the job's until the call returns, however long after it was given up.
      [fd = info[0].ToNumber().Int32Value(), lent,
       offset = info[2].ToNumber().Int64Value()](uint8_t*) {
        return ReadSource(fd, const_cast<uint8_t*>(lent->bytes), lent->size,
                          static_cast<uint64_t>(offset));
      },
      [](Napi::Env env, size_t& size) -> Napi::Value { return NumberOf(env, size); });
}

Napi::Value Close(const Napi::CallbackInfo& info, Lane* lane) {
  return lane->Start<std::monostate>(
      info.Env(),
      [fd = info[0].ToNumber().Int32Value()](uint8_t*) -> Result<std::monostate> {
        close(fd);
        return std::monostate();
      },
      Undefined);
}

Napi::Value OpenDirectory(const Napi::CallbackInfo& info, Lane* lane) {
  using Opened = std::shared_ptr<SourceDirectory>;
  const auto to_value = [lane](Napi::Env env, Opened& opened) -> Napi::Value {
    Napi::Object object = Napi::Object::New(env);
    object.Set("next", Napi::Function::New(env, [lane, opened](const Napi::CallbackInfo& info) {
                 return Napi::Value(lane->Start<std::vector<SourceChild>>(
                     info.Env(), [opened](uint8_t*) { return opened->Next(kChildrenAtOnce); },
                     ChildrenValue));
               }));
    object.Set("close", Napi::Function::New(env, [lane, opened](const Napi::CallbackInfo& info) {
                 return Napi::Value(lane->Start<std::monostate>(
                     info.Env(),
                     [opened](uint8_t*) -> Result<std::monostate> {
                       opened->Close();
                       return std::monostate();
                     },
                     Undefined));
               }));
    return object;
  };
  return lane->Start<Opened>(
      info.Env(),
      [path = std::string(info[0].ToString())](uint8_t*) { return SourceDirectory::Open(path); },
      to_value);
}

/// hashFiles(paths, onBytes) => { done, cancel }
Napi::Value HashFiles(const Napi::CallbackInfo& info, Lane* lane) {
  const Napi::Env env = info.Env();
  std::vector<std::string> paths;
  if (info[0].IsArray()) {
    const auto array = info[0].As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); i++) {
      paths.push_back(Napi::Value(array[i]).ToString());
    }
  }
  auto listener = std::make_shared<Napi::FunctionReference>();
  if (info[1].IsFunction()) *listener = Napi::Persistent(info[1].As<Napi::Function>());
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  const auto work = [lane, paths = std::move(paths), listener,
                     cancelled](uint8_t* buffer) -> Result<std::vector<HashedSource>> {
    const auto tell = [lane, &listener](uint64_t bytes) {
      if (listener->IsEmpty()) return;
      lane->Post([listener, bytes](Napi::Env env) { listener->Call({NumberOf(env, bytes)}); });
    };
    return HashSources(paths, {buffer, kBufferBytes}, *cancelled, tell);
  };
  Napi::Object hashing = Napi::Object::New(env);
  hashing.Set("done", lane->Start<std::vector<HashedSource>>(env, work, HashedValue));
  hashing.Set("cancel", Napi::Function::New(env, [cancelled](const Napi::CallbackInfo&) {
                *cancelled = true;
              }));
  return hashing;
}

Napi::Value OpenLane(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const double wanted = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
  if (!(wanted >= 1 && wanted <= kMostThreads)) {
    return Throw(env, Failure{EINVAL, "openLane", {}, "a lane has 1 to 1024 threads"});
  }
  // Never deleted: a thread that a dead server keeps cannot be waited for.
  auto* lane = new Lane(env, static_cast<size_t>(wanted));
  Napi::Object object = Napi::Object::New(env);
  using Method = Napi::Value (*)(const Napi::CallbackInfo&, Lane*);
  const std::pair<const char*, Method> methods[] = {
      {"stat", Stat},   {"readLink", ReadLink},           {"open", Open},          {"read", Read},
      {"close", Close}, {"openDirectory", OpenDirectory}, {"hashFiles", HashFiles}};
  for (const auto& [name, method] : methods) {
    object.Set(name, Napi::Function::New(env, [lane, method](const Napi::CallbackInfo& info) {
                 return method(info, lane);
               }));
  }
  return object;
}

}  // namespace

void RegisterLanes(Napi::Env env, Napi::Object exports) {
  exports.Set("openLane", Napi::Function::New<OpenLane>(env));
}

}  // namespace refmount
