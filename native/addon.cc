// Entry point of the addon. The addon*.cc files are the only ones that know N-API; everything else
// takes bytes and descriptors.

#include <napi.h>

#include "addon.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  refmount::RegisterHashes(env, exports);
  refmount::RegisterLanes(env, exports);
  refmount::RegisterFiles(env, exports);
  refmount::RegisterSession(env, exports);
  return exports;
}

NODE_API_MODULE(refmount, Init)
