#include "addon_values.h"

#include <uv.h>

#include "hasher.h"

namespace refmount {

namespace {

/// As Node writes it; libuv has no names for what network file systems answer.
const char* NameOf(int number) {
  switch (number) {
    case ESTALE:
      return "ESTALE";
    case EDQUOT:
      return "EDQUOT";
    case EUCLEAN:
      return "EUCLEAN";
    case ENOLINK:
      return "ENOLINK";
    case EKEYEXPIRED:
      return "EKEYEXPIRED";
    default:
      return uv_err_name(-number);
  }
}

}  // namespace

Napi::Error MakeError(Napi::Env env, const Failure& failure) {
  const char* code = NameOf(failure.number);
  std::string message = std::string(code) + ": " + strerror(failure.number) + ", " + failure.syscall;
  if (!failure.path.empty()) message += " '" + failure.path + "'";
  if (!failure.detail.empty()) message += " (" + failure.detail + ")";
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  error.Set("errno", Napi::Number::New(env, -failure.number));
  error.Set("syscall", Napi::String::New(env, failure.syscall));
  if (!failure.path.empty()) error.Set("path", Napi::String::New(env, failure.path));
  return error;
}

Napi::Value Throw(Napi::Env env, const Failure& failure) {
  MakeError(env, failure).ThrowAsJavaScriptException();
  return env.Undefined();
}

std::vector<int> DescriptorsOf(const Napi::Value& value) {
  std::vector<int> descriptors;
  if (!value.IsArray()) return descriptors;
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value item = array[i];
    if (item.IsNumber()) descriptors.push_back(item.As<Napi::Number>().Int32Value());
  }
  return descriptors;
}

Napi::Value ThrowNotBytes(Napi::Env env) {
  Napi::TypeError::New(env, "The bytes must be a Uint8Array").ThrowAsJavaScriptException();
  return env.Undefined();
}

bool IsBytes(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
}

}  // namespace refmount
