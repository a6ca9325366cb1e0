// Hashes a file that exists. Blocks; reads through the page cache.

#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "failure.h"
#include "hasher.h"

namespace refmount {

/// Hashes a regular file from its first byte to the end that it finds; another kind of file is
/// EINVAL (EISDIR for a directory).
/// @param on_progress called about once a megabyte with the bytes done so far; may be empty.
MaybeFailure HashFile(const std::string& path, HashPlan plan,
                      const std::function<void(uint64_t)>& on_progress, Hashes* hashes);

}  // namespace refmount
