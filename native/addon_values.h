// Values on their way over the border: failures become errors, promises come from the thread pool.

#pragma once

#include <napi.h>

#include <string>
#include <utility>
#include <vector>

#include "failure.h"

namespace refmount {

/// A Node-like system error: `code` ("ENOSPC"), `errno` (negative), `syscall`, `path`, and a
/// message that ends with the failure's detail.
Napi::Error MakeError(Napi::Env env, const Failure& failure);

/// Throws it and returns undefined, to be returned in turn.
Napi::Value Throw(Napi::Env env, const Failure& failure);

/// The descriptors in a JavaScript array; what is no number is left out.
std::vector<int> DescriptorsOf(const Napi::Value& value);


bool IsBytes(const Napi::Value& value);
Napi::Value ThrowNotBytes(Napi::Env env);

/// Bytes of a Uint8Array that stays alive while another thread reads them.
struct LentBytes {
  explicit LentBytes(Napi::Uint8Array array)
      : reference(Napi::Persistent(array)), bytes(array.Data()), size(array.ByteLength()) {}
  Napi::Reference<Napi::Uint8Array> reference;
  const uint8_t* bytes;
  size_t size;
};

/// Small arrays are copied; a large one stays where it is and lives as long as its Buffer.
template <class Item>
Napi::Value ToBuffer(Napi::Env env, std::vector<Item> items) {
  constexpr size_t kCopiedBytes = 16 * 1024;
  const size_t size = items.size() * sizeof(Item);
  auto* bytes = reinterpret_cast<uint8_t*>(items.data());
  if (size <= kCopiedBytes) return Napi::Buffer<uint8_t>::Copy(env, bytes, size);
  auto* held = new std::vector<Item>(std::move(items));
  return Napi::Buffer<uint8_t>::NewOrCopy(env, reinterpret_cast<uint8_t*>(held->data()), size,
                                          [held](Napi::Env, uint8_t*) { delete held; });
}

/// One call on the thread pool, and the promise of its outcome. Deletes itself.
class PromiseWorker : public Napi::AsyncWorker {
 public:
  Napi::Promise Start() {
    const Napi::Promise promise = deferred_.Promise();
    Queue();
    return promise;
  }

 protected:
  explicit PromiseWorker(Napi::Env env)
      : Napi::AsyncWorker(env, "refmount"), deferred_(Napi::Promise::Deferred::New(env)) {}

  /// Off the main thread: no JavaScript value may be touched.
  virtual MaybeFailure Work() = 0;
  /// Back on the main thread, whatever the outcome; may turn success into failure.
  virtual void Settled(MaybeFailure* /*failure*/) {}
  virtual Napi::Value Value() { return Env().Undefined(); }

 private:
  void Execute() final { failure_ = Work(); }
  void OnOK() final {
    Settled(&failure_);
    if (failure_) {
      deferred_.Reject(MakeError(Env(), *failure_).Value());
    } else {
      deferred_.Resolve(Value());
    }
  }

  Napi::Promise::Deferred deferred_;
  MaybeFailure failure_;
};

}  // namespace refmount
