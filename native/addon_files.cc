// Devices, descriptors, locks and the holder's socket for JavaScript.

#include <napi.h>
#include <sys/socket.h>

#include <memory>

#include "addon.h"
#include "addon_values.h"
#include "device.h"
#include "files.h"
#include "seqpacket.h"

namespace refmount {
namespace {

/// The holder answers at once; one that does not is stopped or broken.
constexpr int kAnswerSeconds = 20;

Napi::Value Attach(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  AttachOptions options;
  if (info[1].IsObject()) {
    const auto object = info[1].As<Napi::Object>();
    options.fsname = object.Get("fsname").ToString();
    options.allow_other = object.Get("allowOther").ToBoolean();
  }
  Result<Fd> device = AttachDevice(info[0].ToString(), options);
  if (!device.ok()) return Throw(env, device.failure());
  return Napi::Number::New(env, device.value().release());
}

Napi::Value Detach(const Napi::CallbackInfo& info) {
  const auto failure = DetachDevice(info[0].ToString(), info[1].ToBoolean());
  return failure ? Throw(info.Env(), *failure) : info.Env().Undefined();
}

Napi::Value MemoryFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Result<Fd> file = MakeMemoryFile(info[0].ToString());
  if (!file.ok()) return Throw(env, file.failure());
  return Napi::Number::New(env, file.value().release());
}

Napi::Value CloseFd(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int fd = info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : -1;
  if (close(fd) != 0 && errno != EINTR) return Throw(env, Errno("close"));
  return env.Undefined();
}

Napi::Value Call(const Napi::CallbackInfo& info, Fd* socket) {
  const Napi::Env env = info.Env();
  if (!socket->valid()) return Throw(env, Failure{EBADF, "sendmsg", {}, "the link is closed"});
  const std::string text = info[0].ToString();
  const Failure gone = {ECONNRESET, "recvmsg", {}, "the holder is gone"};
  if (auto failure = SendMessage(socket->get(), text, DescriptorsOf(info[1]))) {
    return Throw(env, failure->number == EPIPE ? gone : *failure);
  }
  Result<Message> answer = ReceiveMessage(socket->get());
  if (!answer.ok() || answer.value().closed) {
    // A late answer must not be taken for that of the next request.
    socket->reset();
    if (answer.ok()) return Throw(env, gone);
    if (answer.failure().number == EAGAIN) answer.failure().number = ETIMEDOUT;
    return Throw(env, answer.failure());
  }
  Napi::Array fds = Napi::Array::New(env);
  for (Fd& fd : answer.value().fds) {
    fds.Set(fds.Length(), Napi::Number::New(env, fd.release()));
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("message", Napi::String::New(env, answer.value().text));
  object.Set("fds", fds);
  return object;
}

Napi::Value ConnectHolder(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Result<Fd> connected = ConnectSeqpacket(info[0].ToString());
  if (!connected.ok()) return Throw(env, connected.failure());
  const timeval patience = {kAnswerSeconds, 0};
  setsockopt(connected.value().get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(connected.value().get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  auto socket = std::make_shared<Fd>(std::move(connected.value()));
  Napi::Object link = Napi::Object::New(env);
  link.Set("call", Napi::Function::New(env, [socket](const Napi::CallbackInfo& info) {
             return Call(info, socket.get());
           }));
  link.Set("close",
           Napi::Function::New(env, [socket](const Napi::CallbackInfo&) { socket->reset(); }));
  return link;
}

class SyncWorker : public PromiseWorker {
 public:
  SyncWorker(Napi::Env env, std::string path) : PromiseWorker(env), path_(std::move(path)) {}

 private:
  MaybeFailure Work() override { return SyncFs(path_); }

  const std::string path_;
};

Napi::Value SyncFsFunction(const Napi::CallbackInfo& info) {
  return (new SyncWorker(info.Env(), info[0].ToString()))->Start();
}

Napi::Value LockFileFunction(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Result<Fd> lock = LockFile(info[0].ToString());
  if (!lock.ok()) return Throw(env, lock.failure());
  if (!lock.value().valid()) return env.Null();
  return Napi::Number::New(env, lock.value().release());
}

void HoldSignalsFunction(const Napi::CallbackInfo&) { HoldSignals(); }

Napi::Value ExecFunction(const Napi::CallbackInfo& info) {
  std::vector<std::string> arguments;
  if (info[1].IsArray()) {
    const auto array = info[1].As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); i++) {
      arguments.push_back(Napi::Value(array[i]).ToString());
    }
  }
  return Throw(info.Env(), Exec(info[0].ToString(), std::move(arguments), DescriptorsOf(info[2])));
}

}  // namespace

void RegisterFiles(Napi::Env env, Napi::Object exports) {
  exports.Set("attach", Napi::Function::New<Attach>(env));
  exports.Set("detach", Napi::Function::New<Detach>(env));
  exports.Set("memoryFile", Napi::Function::New<MemoryFile>(env));
  exports.Set("closeFd", Napi::Function::New<CloseFd>(env));
  exports.Set("connectHolder", Napi::Function::New<ConnectHolder>(env));
  exports.Set("syncFs", Napi::Function::New<SyncFsFunction>(env));
  exports.Set("lockFile", Napi::Function::New<LockFileFunction>(env));
  exports.Set("holdSignals", Napi::Function::New<HoldSignalsFunction>(env));
  exports.Set("exec", Napi::Function::New<ExecFunction>(env));
}

}  // namespace refmount
