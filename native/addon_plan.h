// HashOptions of JavaScript as a plan for the hasher, and its digests as objects of JavaScript.

#pragma once

#include <napi.h>

#include "hasher.h"

namespace refmount {

/// Reads HashOptions, which may be missing. False, with a TypeError thrown, for what they cannot be.
bool ReadPlan(const Napi::Value& options, HashPlan* plan);

/// The digests that were computed, by the name of the algorithm.
Napi::Object ToObject(Napi::Env env, const Hashes& hashes);
Napi::Object ToObject(Napi::Env env, const Composites& composites);

}  // namespace refmount
