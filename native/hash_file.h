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

/// Hashes an open file from where it stands to the end that it finds.
/// @param go_on called with the bytes of each read; false ends it with ECANCELED.
MaybeFailure HashDescriptor(int fd, const std::string& path, HashPlan plan, uint8_t* buffer,
                            size_t buffer_bytes, const std::function<bool(uint64_t)>& go_on,
                            Hashes* hashes);

}  // namespace refmount
