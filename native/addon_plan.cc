#include "addon_plan.h"

#include <initializer_list>
#include <string>
#include <utility>

namespace refmount {
namespace {

/// Reads a list of algorithms, which may be missing. False, with a TypeError thrown, for one that
/// does not exist.
bool ReadAlgorithms(const Napi::Value& list, unsigned* algorithms) {
  static constexpr std::pair<const char*, unsigned> kNames[] = {
      {"sha256", kSha256},       {"md5", kMd5},       {"sha1", kSha1},
      {"crc64nvme", kCrc64Nvme}, {"crc32c", kCrc32c}, {"crc32", kCrc32}};
  *algorithms = 0;
  if (!list.IsArray()) return true;
  const auto array = list.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) {
    const std::string name = Napi::Value(array[i]).ToString();
    bool known = false;
    for (const auto& [text, bit] : kNames) {
      if (name != text) continue;
      *algorithms |= bit;
      known = true;
    }
    if (!known) {
      Napi::TypeError::New(list.Env(), "No such digest algorithm: " + name)
          .ThrowAsJavaScriptException();
      return false;
    }
  }
  return true;
}

/// Reads HashOptions.parts. False, with a TypeError thrown, for sizes that are none.
bool ReadParts(const Napi::Object& parts, HashPlan* plan) {
  constexpr uint64_t kMostParts = 1'000'000;
  constexpr double kMostBytes = 1LL << 53;
  if (!ReadAlgorithms(parts.Get("algorithms"), &plan->part_algorithms)) return false;
  const double count = parts.Get("count").ToNumber();
  const Napi::Value sizes = parts.Get("sizes");
  bool good = count >= 1 && count <= kMostParts && sizes.IsArray();
  if (good) {
    const auto array = sizes.As<Napi::Array>();
    good = array.Length() >= 1 && array.Length() <= count;
    for (uint32_t i = 0; good && i < array.Length(); i++) {
      const double bytes = Napi::Value(array[i]).ToNumber();
      good = bytes >= 0 && bytes < kMostBytes;
      if (good) plan->parts.bytes.push_back(static_cast<uint64_t>(bytes));
    }
  }
  if (good) {
    plan->parts.count = static_cast<uint64_t>(count);
  } else {
    Napi::TypeError::New(parts.Env(), "The parts must have sizes and a count")
        .ThrowAsJavaScriptException();
  }
  return good;
}

using NamedDigest = std::pair<const char*, const std::string&>;

Napi::Object Named(Napi::Env env, std::initializer_list<NamedDigest> digests) {
  Napi::Object object = Napi::Object::New(env);
  for (const auto& [name, value] : digests) {
    if (!value.empty()) object.Set(name, Napi::String::New(env, value));
  }
  return object;
}

}  // namespace

bool ReadPlan(const Napi::Value& options, HashPlan* plan) {
  if (!options.IsObject()) return true;
  const auto object = options.As<Napi::Object>();
  if (!ReadAlgorithms(object.Get("algorithms"), &plan->algorithms)) return false;
  const Napi::Value parts = object.Get("parts");
  return !parts.IsObject() || ReadParts(parts.As<Napi::Object>(), plan);
}

Napi::Object ToObject(Napi::Env env, const Hashes& hashes) {
  return Named(env, {{"sha256", hashes.sha256},
                     {"md5", hashes.md5},
                     {"sha1", hashes.sha1},
                     {"crc64nvme", hashes.crc64nvme},
                     {"crc32c", hashes.crc32c},
                     {"crc32", hashes.crc32}});
}

Napi::Object ToObject(Napi::Env env, const Composites& composites) {
  return Named(env, {{"sha256", composites.sha256},
                     {"md5", composites.md5},
                     {"sha1", composites.sha1},
                     {"crc32c", composites.crc32c},
                     {"crc32", composites.crc32}});
}

}  // namespace refmount
