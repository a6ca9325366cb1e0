// Sinks and hashing for JavaScript: every byte is written and hashed on the thread pool.

#include <napi.h>
#include <unistd.h>

#include <atomic>
#include <initializer_list>
#include <memory>
#include <utility>

#include "addon.h"
#include "addon_plan.h"
#include "addon_values.h"
#include "crc.h"
#include "hash_file.h"
#include "hasher.h"
#include "sink.h"

namespace refmount {
namespace {

Napi::Value ToValue(Napi::Env env, Hashes hashes) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(hashes.size_bytes)));
  object.Set("digests", ToObject(env, hashes));
  if (hashes.composites) object.Set("composites", ToObject(env, *hashes.composites));
  object.Set("chunks", ToBuffer(env, std::move(hashes.chunks)));
  object.Set("blockCrcs", ToBuffer(env, std::move(hashes.block_crcs)));
  return object;
}

/// What a JavaScript sink or hasher refers to. The flags belong to the main thread.
struct OpenSink {
  /// Either of them: bytes that are kept, or only hashed.
  std::unique_ptr<Sink> sink;
  std::unique_ptr<Hasher> hasher;
  std::string path;
  /// A worker uses it now: nobody else may.
  bool busy = false;
  bool aborted = false;
  bool finished = false;
};

/// Frees the sink, which closes its file: that may take long for a large file that was removed.
class CloseWorker : public Napi::AsyncWorker {
 public:
  CloseWorker(Napi::Env env, std::unique_ptr<Sink> sink)
      : Napi::AsyncWorker(env, "refmount"), sink_(std::move(sink)) {}
  void Execute() override { sink_.reset(); }

 private:
  std::unique_ptr<Sink> sink_;
};

void CloseAborted(Napi::Env env, OpenSink* open) {
  open->hasher.reset();
  std::unique_ptr<Sink> sink = std::move(open->sink);
  // A small file is closed here and now: its space is back when the caller goes on.
  constexpr uint64_t kQuickBytes = 16 << 20;
  if (sink && sink->size_bytes() > kQuickBytes) (new CloseWorker(env, std::move(sink)))->Queue();
}

/// One step on an open sink.
class SinkWorker : public PromiseWorker {
 protected:
  SinkWorker(Napi::Env env, std::shared_ptr<OpenSink> open)
      : PromiseWorker(env), open_(std::move(open)) {
    open_->busy = true;
  }
  void Settled(MaybeFailure* failure) override {
    open_->busy = false;
    if (!open_->aborted) return;
    CloseAborted(Env(), open_.get());
    *failure = Failure{ECANCELED, "write", open_->path, "the sink was aborted"};
  }

  std::shared_ptr<OpenSink> open_;
};

class AppendWorker : public SinkWorker {
 public:
  AppendWorker(Napi::Env env, std::shared_ptr<OpenSink> open, LentBytes lent)
      : SinkWorker(env, std::move(open)), lent_(std::move(lent)) {}

 private:
  MaybeFailure Work() override {
    if (open_->sink) return open_->sink->Append(lent_.bytes, lent_.size);
    open_->hasher->Update(lent_.bytes, lent_.size);
    return {};
  }

  LentBytes lent_;
};

class FinishWorker : public SinkWorker {
 public:
  FinishWorker(Napi::Env env, std::shared_ptr<OpenSink> open) : SinkWorker(env, std::move(open)) {
    open_->finished = true;
  }

 private:
  MaybeFailure Work() override {
    if (open_->sink) return open_->sink->Finish(&hashes_);
    if (open_->hasher->Finish(&hashes_)) return {};
    return Failure{ENOTSUP, "hash", {}, "OpenSSL refused a digest"};
  }
  void Settled(MaybeFailure* failure) override {
    // The file was complete before the abort came, but nobody has been told so.
    if (open_->aborted && open_->sink && !*failure) unlink(open_->path.c_str());
    SinkWorker::Settled(failure);
  }
  Napi::Value Value() override { return ToValue(Env(), std::move(hashes_)); }

  Hashes hashes_;
};

/// A promise that is rejected at once: the promise-returning functions never throw.
Napi::Value Rejected(Napi::Env env, const Failure& failure) {
  auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Reject(MakeError(env, failure).Value());
  return deferred.Promise();
}

/// Why no new step may begin, if so.
MaybeFailure Unusable(const OpenSink& open) {
  if (open.busy) return Failure{EBUSY, "write", open.path, "one append at a time"};
  if (open.finished) return Failure{EBADF, "write", open.path, "the sink is finished"};
  if (open.aborted) return Failure{ECANCELED, "write", open.path, "the sink was aborted"};
  return {};
}

Napi::Object ToObject(Napi::Env env, const std::shared_ptr<OpenSink>& open) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("append", Napi::Function::New(env, [open](const Napi::CallbackInfo& info) {
               const Napi::Env env = info.Env();
               if (!IsBytes(info[0])) return ThrowNotBytes(env);
               if (auto failure = Unusable(*open)) return Rejected(env, *failure);
               LentBytes lent(info[0].As<Napi::Uint8Array>());
               return Napi::Value((new AppendWorker(env, open, std::move(lent)))->Start());
             }));
  object.Set("finish", Napi::Function::New(env, [open](const Napi::CallbackInfo& info) {
               const Napi::Env env = info.Env();
               if (auto failure = Unusable(*open)) return Rejected(env, *failure);
               return Napi::Value((new FinishWorker(env, open))->Start());
             }));
  object.Set("abort", Napi::Function::New(env, [open](const Napi::CallbackInfo& info) {
               if (open->sink) open->sink->Unlink();
               open->aborted = true;
               if (!open->busy) CloseAborted(info.Env(), open.get());
             }));
  return object;
}

Napi::Value OpenSinkFunction(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  HashPlan plan;
  if (!ReadPlan(info[1], &plan)) return env.Undefined();
  auto open = std::make_shared<OpenSink>();
  open->path = info[0].ToString();
  Result<std::unique_ptr<Sink>> opened = Sink::Open(open->path, std::move(plan));
  if (!opened.ok()) return Throw(env, opened.failure());
  open->sink = std::move(opened.value());
  return ToObject(env, open);
}

Napi::Value OpenHasher(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  HashPlan plan;
  if (!ReadPlan(info[0], &plan)) return env.Undefined();
  auto open = std::make_shared<OpenSink>();
  open->hasher = std::make_unique<Hasher>(std::move(plan));
  return ToObject(env, open);
}

class WriteHashedWorker : public PromiseWorker {
 public:
  WriteHashedWorker(Napi::Env env, std::string path, std::vector<LentBytes> parts, HashPlan plan)
      : PromiseWorker(env),
        path_(std::move(path)),
        parts_(std::move(parts)),
        plan_(std::move(plan)) {}

 private:
  MaybeFailure Work() override {
    Result<std::unique_ptr<Sink>> opened = Sink::Open(path_, std::move(plan_));
    if (!opened.ok()) return opened.failure();
    Sink& sink = *opened.value();
    for (const LentBytes& part : parts_) {
      if (auto failure = sink.Append(part.bytes, part.size)) return failure;
    }
    return sink.Finish(&hashes_);
  }
  Napi::Value Value() override { return ToValue(Env(), std::move(hashes_)); }

  const std::string path_;
  const std::vector<LentBytes> parts_;
  HashPlan plan_;
  Hashes hashes_;
};

Napi::Value WriteHashed(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  HashPlan plan;
  if (!ReadPlan(info[2], &plan)) return env.Undefined();
  if (!info[1].IsArray()) return ThrowNotBytes(env);
  const auto array = info[1].As<Napi::Array>();
  std::vector<LentBytes> parts;
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value part = array[i];
    if (!IsBytes(part)) return ThrowNotBytes(env);
    parts.emplace_back(part.As<Napi::Uint8Array>());
  }
  return (new WriteHashedWorker(env, info[0].ToString(), std::move(parts), std::move(plan)))
      ->Start();
}

/// How far a file is hashed, told to JavaScript from another thread. The latest count wins.
struct Progress {
  std::atomic<uint64_t> done_bytes = 0;
  /// Main thread only: the promise is settled, so nothing is told any more.
  bool ended = false;
};

class HashFileWorker : public PromiseWorker {
 public:
  HashFileWorker(Napi::Env env, std::string path, HashPlan plan, const Napi::Value& listener)
      : PromiseWorker(env), path_(std::move(path)), plan_(std::move(plan)) {
    if (!listener.IsFunction()) return;
    // One call waiting is enough: it will tell the latest count.
    listener_ = Napi::ThreadSafeFunction::New(env, listener.As<Napi::Function>(), "refmount", 1, 1);
    listens_ = true;
  }

 private:
  MaybeFailure Work() override {
    std::function<void(uint64_t)> tell;
    if (listens_) {
      tell = [this](uint64_t done_bytes) {
        progress_->done_bytes = done_bytes;
        listener_.NonBlockingCall(
            [progress = progress_](Napi::Env env, const Napi::Function& listener) {
              if (progress->ended) return;
              const auto count = static_cast<double>(progress->done_bytes.load());
              listener.Call({Napi::Number::New(env, count)});
            });
      };
    }
    return HashFile(path_, std::move(plan_), tell, &hashes_);
  }
  void Settled(MaybeFailure*) override {
    progress_->ended = true;
    if (listens_) listener_.Release();
  }
  Napi::Value Value() override { return ToValue(Env(), std::move(hashes_)); }

  const std::string path_;
  HashPlan plan_;
  const std::shared_ptr<Progress> progress_ = std::make_shared<Progress>();
  Napi::ThreadSafeFunction listener_;
  bool listens_ = false;
  Hashes hashes_;
};

Napi::Value HashFileFunction(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  HashPlan plan;
  if (!ReadPlan(info[1], &plan)) return env.Undefined();
  return (new HashFileWorker(env, info[0].ToString(), std::move(plan), info[2]))->Start();
}

Napi::Value Crc32cFunction(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!IsBytes(info[0])) return ThrowNotBytes(env);
  const auto array = info[0].As<Napi::Uint8Array>();
  const uint32_t seed = info[1].IsNumber() ? info[1].As<Napi::Number>().Uint32Value() : 0;
  return Napi::Number::New(env, Crc32c(seed, array.Data(), array.ByteLength()));
}

}  // namespace

void RegisterHashes(Napi::Env env, Napi::Object exports) {
  exports.Set("openSink", Napi::Function::New<OpenSinkFunction>(env));
  exports.Set("openHasher", Napi::Function::New<OpenHasher>(env));
  exports.Set("writeHashed", Napi::Function::New<WriteHashed>(env));
  exports.Set("hashFile", Napi::Function::New<HashFileFunction>(env));
  exports.Set("crc32c", Napi::Function::New<Crc32cFunction>(env));
}

}  // namespace refmount
