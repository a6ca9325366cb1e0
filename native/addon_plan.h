// HashOptions of JavaScript as a plan for the hasher.

#pragma once

#include <napi.h>

#include "hasher.h"

namespace refmount {

/// Reads HashOptions, which may be missing. False, with a TypeError thrown, for what they cannot be.
bool ReadPlan(const Napi::Value& options, HashPlan* plan);

}  // namespace refmount
