// A session for JavaScript: calls go straight to it, its upcalls travel to the main thread in
// order.

#include <fcntl.h>
#include <napi.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>

#include "addon.h"
#include "addon_values.h"
#include "session.h"

namespace refmount {
namespace {

/// Joins a Session with the functions that JavaScript gave for it. Keeps itself alive until the
/// session has ended, whether or not JavaScript still holds the object.
class SessionLink : public Upcalls {
 public:
  static Napi::Value Start(const Napi::CallbackInfo& info);
  ~SessionLink() override = default;

  // Upcalls, from any thread
  void OnReady(const Negotiation& agreed, bool resumed) override {
    Post([agreed, resumed](Napi::Env env, SessionLink& link) {
      Napi::Object negotiated = Napi::Object::New(env);
      negotiated.Set("protocol", "7." + std::to_string(agreed.minor));
      negotiated.Set("io", agreed.passthrough ? "passthrough" : "cached");
      negotiated.Set("maxReadBytes", agreed.maxReadBytes);
      negotiated.Set("resumed", Napi::Boolean::New(env, resumed));
      link.onReady_.Call({negotiated});
    });
  }
  void OnFill(uint64_t node) override {
    Post([node](Napi::Env env, SessionLink& link) { link.onFill_.Call({NodeOf(env, node)}); });
  }
  void OnDamage(uint64_t node, const Digest& blob) override {
    Post([node, blob](Napi::Env env, SessionLink& link) {
      link.onDamage_.Call({NodeOf(env, node), Napi::String::New(env, FormatDigest(blob))});
    });
  }
  void OnIndexDamage() override {
    Post([](Napi::Env, SessionLink& link) { link.onIndexDamage_.Call({}); });
  }
  void OnXattr(uint64_t token, uint64_t node, std::string_view name) override {
    Post([token, node, name = std::string(name)](Napi::Env env, SessionLink& link) {
      link.onXattr_.Call({NodeOf(env, token), NodeOf(env, node), Napi::String::New(env, name)});
    });
  }
  void OnEnd(EndReason reason, const std::string& message) override {
    Post(
        [reason, message](Napi::Env env, SessionLink& link) { link.Finish(env, reason, message); });
  }

 private:
  using Event = std::function<void(Napi::Env, SessionLink&)>;
  static void RunEvent(Napi::Env env, Napi::Function, SessionLink* link, Event* event) {
    const std::unique_ptr<Event> owned(event);
    if (static_cast<napi_env>(env) == nullptr) return;
    // The event may be the last one, which lets go of the link.
    const std::shared_ptr<SessionLink> alive = link->self_;
    if (alive != nullptr) (*owned)(env, *alive);
  }
  using Queue = Napi::TypedThreadSafeFunction<SessionLink, Event, RunEvent>;

  static Napi::Number NodeOf(Napi::Env env, uint64_t id) {
    return Napi::Number::New(env, static_cast<double>(id));
  }

  void Post(Event event) {
    auto* owned = new Event(std::move(event));
    if (queue_.NonBlockingCall(owned) != napi_ok) delete owned;
  }

  Napi::Object MakeObject(Napi::Env env, const std::shared_ptr<SessionLink>& self);
  Napi::Value Provide(const Napi::CallbackInfo& info);
  Napi::Value ReplyXattr(const Napi::CallbackInfo& info);
  Napi::Value Stats(Napi::Env env);
  void Finish(Napi::Env env, EndReason reason, const std::string& message);
  void LetGo(Napi::Env env);
  static void AtExit(void* link);

  std::unique_ptr<Session> session_;
  SessionCounts lastCounts_{};
  Queue queue_;
  Napi::FunctionReference onReady_, onFill_, onDamage_, onIndexDamage_, onXattr_, onEnd_;
  std::shared_ptr<SessionLink> self_;
};

uint64_t WholeNumber(const Napi::Value& value) {
  if (!value.IsNumber()) return 0;
  const double number = value.As<Napi::Number>().DoubleValue();
  return number >= 1 && number <= 9007199254740991.0 ? static_cast<uint64_t>(number) : 0;
}

/// The descriptor becomes the session's own, which closes it whatever happens.
Result<Fd> Own(int raw) {
  if (fcntl(raw, F_GETFD) < 0) return Errno("fcntl");
  return Fd(raw);
}

Result<SessionConfig> ConfigOf(const Napi::Object& options) {
  SessionConfig config;
  const Napi::Value stateFd = options.Get("stateFd");
  Result<Fd> state = Own(stateFd.IsNumber() ? stateFd.As<Napi::Number>().Int32Value() : -1);
  if (state.ok()) config.state = std::move(state.value());
  for (const int raw : DescriptorsOf(options.Get("devices"))) {
    Result<Fd> device = Own(raw);
    if (!device.ok()) return device.failure();
    config.devices.push_back(std::move(device.value()));
  }
  if (!state.ok()) return state.failure();
  config.indexPath = options.Get("indexPath").ToString();
  if (!ParseDigest(std::string(options.Get("manifestDigest").ToString()), &config.manifest)) {
    return Failure{EINVAL, "startSession", {}, "manifestDigest is not a SHA-256 in hex"};
  }
  config.passthrough = std::string(options.Get("io").ToString()) == "passthrough";
  config.owner = {options.Get("uid").ToNumber().Uint32Value(),
                  options.Get("gid").ToNumber().Uint32Value()};
  config.maxOpenBlobs = WholeNumber(options.Get("maxOpenBlobs"));
  return config;
}

Napi::Value SessionLink::Start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) return Throw(env, Failure{EINVAL, "startSession", {}, "no options"});
  const auto options = info[0].As<Napi::Object>();
  Result<SessionConfig> config = ConfigOf(options);
  if (!config.ok()) return Throw(env, config.failure());
  const auto link = std::make_shared<SessionLink>();
  const std::pair<const char*, Napi::FunctionReference*> functions[] = {
      {"onReady", &link->onReady_},   {"onFill", &link->onFill_},
      {"onDamage", &link->onDamage_}, {"onIndexDamage", &link->onIndexDamage_},
      {"onXattr", &link->onXattr_},   {"onEnd", &link->onEnd_}};
  for (const auto& [name, reference] : functions) {
    const Napi::Value function = options.Get(name);
    if (!function.IsFunction()) {
      return Throw(env, Failure{EINVAL, "startSession", {}, std::string(name) + " is missing"});
    }
    *reference = Napi::Persistent(function.As<Napi::Function>());
  }
  link->queue_ = Queue::New(env, "refmount session", 0, 1, link.get());
  link->self_ = link;
  // Registered after the queue's own hook, so it runs first: no thread outlives the environment.
  napi_add_env_cleanup_hook(env, AtExit, link.get());
  Result<std::unique_ptr<Session>> session = Session::Start(std::move(config.value()), link.get());
  if (!session.ok()) {
    link->LetGo(env);
    return Throw(env, session.failure());
  }
  link->session_ = std::move(session.value());
  return link->MakeObject(env, link);
}

Napi::Object SessionLink::MakeObject(Napi::Env env, const std::shared_ptr<SessionLink>& self) {
  Napi::Object object = Napi::Object::New(env);
  const auto method = [&](const char* name, auto body) {
    object.Set(name, Napi::Function::New(env, [self, body](const Napi::CallbackInfo& info) {
                 return body(*self, info);
               }));
  };
  method("provide",
         [](SessionLink& link, const Napi::CallbackInfo& info) { return link.Provide(info); });
  method("fail", [](SessionLink& link, const Napi::CallbackInfo& info) {
    if (link.session_ != nullptr) {
      link.session_->Fail(WholeNumber(info[0]), info[1].ToNumber().Int32Value());
    }
    return info.Env().Undefined();
  });
  method("replyXattr",
         [](SessionLink& link, const Napi::CallbackInfo& info) { return link.ReplyXattr(info); });
  method("forget", [](SessionLink& link, const Napi::CallbackInfo& info) -> Napi::Value {
    Digest blob;
    if (!ParseDigest(std::string(info[0].ToString()), &blob)) {
      return Throw(info.Env(), Failure{EINVAL, "forget", {}, "not a SHA-256 in hex"});
    }
    if (link.session_ != nullptr) link.session_->Forget(blob);
    return info.Env().Undefined();
  });
  method("stop", [](SessionLink& link, const Napi::CallbackInfo& info) {
    if (link.session_ != nullptr) link.session_->Stop();
    return info.Env().Undefined();
  });
  method("stats",
         [](SessionLink& link, const Napi::CallbackInfo& info) { return link.Stats(info.Env()); });
  return object;
}

Napi::Value SessionLink::Provide(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[1].IsObject()) return Throw(env, Failure{EINVAL, "provide", {}, "no blob"});
  const auto blob = info[1].As<Napi::Object>();
  BlobSource source;
  source.path = blob.Get("path").ToString();
  source.sizeBytes = WholeNumber(blob.Get("sizeBytes"));
  source.temporary = blob.Get("temporary").ToBoolean();
  if (!ParseDigest(std::string(blob.Get("sha256").ToString()), &source.name)) {
    return Throw(env, Failure{EINVAL, "provide", source.path, "sha256 is not a SHA-256 in hex"});
  }
  const Napi::Value crcs = blob.Get("blockCrcs");
  if (crcs.IsTypedArray()) {
    const auto bytes = crcs.As<Napi::Uint8Array>();
    const uint64_t blocks = source.sizeBytes / kBlockBytes + (source.sizeBytes % kBlockBytes != 0);
    if (bytes.ByteLength() != blocks * sizeof(uint32_t)) {
      return Throw(env, Failure{EINVAL, "provide", source.path, "blockCrcs has the wrong length"});
    }
    auto copy = std::make_shared<uint32_t[]>(blocks);
    // Block CRCs are little endian, like every machine this runs on (see tree.cc).
    if (blocks > 0) std::memcpy(copy.get(), bytes.Data(), bytes.ByteLength());
    source.crcs = std::move(copy);
  }
  if (session_ != nullptr) session_->Provide(WholeNumber(info[0]), source);
  return env.Undefined();
}

Napi::Value SessionLink::ReplyXattr(const Napi::CallbackInfo& info) {
  if (session_ == nullptr) return info.Env().Undefined();
  const uint64_t token = WholeNumber(info[0]);
  if (info[1].IsTypedArray()) {
    const auto value = info[1].As<Napi::Uint8Array>();
    session_->ReplyXattr(token, std::span<const uint8_t>(value.Data(), value.ByteLength()));
  } else {
    session_->ReplyXattr(token, std::nullopt);
  }
  return info.Env().Undefined();
}

Napi::Value SessionLink::Stats(Napi::Env env) {
  if (session_ != nullptr) lastCounts_ = session_->Counts();
  Napi::Object stats = Napi::Object::New(env);
  stats.Set("requests", NodeOf(env, lastCounts_.requests));
  stats.Set("reads", NodeOf(env, lastCounts_.reads));
  stats.Set("readBytes", NodeOf(env, lastCounts_.readBytes));
  stats.Set("parked", NodeOf(env, lastCounts_.parked));
  stats.Set("openBlobs", NodeOf(env, lastCounts_.openBlobs));
  stats.Set("damaged", NodeOf(env, lastCounts_.damaged));
  return stats;
}

void SessionLink::Finish(Napi::Env env, EndReason reason, const std::string& message) {
  session_->Join();
  lastCounts_ = session_->Counts();
  session_.reset();
  const Napi::Function onEnd = onEnd_.Value();
  LetGo(env);
  const char* text = reason == EndReason::kUnmounted ? "unmounted"
                     : reason == EndReason::kStopped ? "stopped"
                                                     : "aborted";
  onEnd.Call({Napi::String::New(env, text), Napi::String::New(env, message)});
}

/// After this the event loop may end and JavaScript may collect the object.
void SessionLink::LetGo(Napi::Env env) {
  napi_remove_env_cleanup_hook(env, AtExit, this);
  for (auto* function : {&onReady_, &onFill_, &onDamage_, &onIndexDamage_, &onXattr_, &onEnd_}) {
    function->Reset();
  }
  queue_.Release();
  self_.reset();
}

void SessionLink::AtExit(void* pointer) {
  // Holds on to the link until the threads, which call it, are gone.
  const std::shared_ptr<SessionLink> link = static_cast<SessionLink*>(pointer)->self_;
  if (link == nullptr) return;
  link->session_.reset();
  for (auto* function : {&link->onReady_, &link->onFill_, &link->onDamage_, &link->onIndexDamage_,
                         &link->onXattr_, &link->onEnd_}) {
    function->Reset();
  }
  link->queue_.Abort();
  link->self_.reset();
}

Napi::Value CanPassthroughFunction(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), CanPassthrough());
}

}  // namespace

void RegisterSession(Napi::Env env, Napi::Object exports) {
  exports.Set("startSession", Napi::Function::New<SessionLink::Start>(env));
  exports.Set("canPassthrough", Napi::Function::New<CanPassthroughFunction>(env));
}

}  // namespace refmount
