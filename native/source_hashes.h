// Hashes the files of a source: several small ones side by side, since MD5 of eight messages takes
// little longer than of one. Blocks as source.h does.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "failure.h"
#include "hasher.h"

namespace refmount {

struct HashedSource {
  MaybeFailure failure;
  /// It was written to, or replaced, while it was read.
  bool changed = false;
  /// With `md5`.
  Hashes hashes;
};

/// Hashes regular files; the results are in the order of `paths`.
/// @param buffer what they are read into: a multiple of 8 * 64 bytes.
/// @param cancelled ends it early: what is not hashed then failed with ECANCELED.
/// @param on_bytes told of the bytes that were hashed, not cumulative, about once a megabyte.
std::vector<HashedSource> HashSources(const std::vector<std::string>& paths,
                                      std::span<uint8_t> buffer,
                                      const std::atomic<bool>& cancelled,
                                      const std::function<void(uint64_t)>& on_bytes);

}  // namespace refmount
