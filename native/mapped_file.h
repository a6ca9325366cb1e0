// A file mapped read-only whose loss cannot crash the process: pages that vanish under the mapping
// (truncated file, failing disk) read as zeros, which the checksums of its reader refuse.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "failure.h"

namespace refmount {

class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  /// Maps the whole of a regular file; an empty file is a failure with EINVAL.
  static Result<MappedFile> Open(const std::string& path);

  std::span<const uint8_t> bytes() const { return {start_, size_}; }

 private:
  MappedFile(const uint8_t* start, size_t size) : start_(start), size_(size) {}

  const uint8_t* start_ = nullptr;
  size_t size_ = 0;
};

}  // namespace refmount
