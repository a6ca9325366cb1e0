// What each part of the addon puts into `exports`; the TypeScript side is src/native/addon.ts.

#pragma once

#include <napi.h>

namespace refmount {

/// Sinks and hashing (addon_hashes.cc).
void RegisterHashes(Napi::Env env, Napi::Object exports);

/// openLane (addon_lanes.cc).
void RegisterLanes(Napi::Env env, Napi::Object exports);

/// Devices, descriptors, locks, the holder's socket (addon_files.cc).
void RegisterFiles(Napi::Env env, Napi::Object exports);

/// startSession and canPassthrough (addon_session.cc).
void RegisterSession(Napi::Env env, Napi::Object exports);

}  // namespace refmount
