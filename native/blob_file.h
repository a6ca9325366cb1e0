// One open blob and the CRC-32C of its blocks: reads no byte that it does not check. Whether the
// blob is the right one was settled by whoever provided it.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "failure.h"
#include "fd.h"
#include "tree.h"

namespace refmount {

/// Bytes of a blob that carry one CRC-32C.
constexpr uint32_t kBlockBytes = 4096;
/// Most bytes of one READ, as negotiated.
constexpr uint32_t kMaxReadBytes = 1 << 20;
/// Room that `BlobFile::Read` needs: a read need not start or end on a block.
constexpr size_t kReadBufferBytes = size_t{kMaxReadBytes} + 2 * kBlockBytes;

/// CRC-32C of every block of a blob, in memory.
using BlockCrcs = std::shared_ptr<const uint32_t[]>;

class BlobFile {
 public:
  /// Opens the blob at `path`, which must be `sizeBytes` long. Without `crcs` they are read from
  /// `path`.crc as needed.
  static Result<std::shared_ptr<const BlobFile>> Open(const std::string& path, const Digest& name,
                                                      uint64_t sizeBytes, BlockCrcs crcs);

  /// Reads `length` (at most kMaxReadBytes) bytes at `offset`, which must lie inside the blob, into
  /// `buffer` of kReadBufferBytes. Gives the bytes, or nothing when a block is short, unreadable or
  /// fails its check.
  std::span<const uint8_t> Read(uint64_t offset, uint32_t length, uint8_t* buffer) const;

  /// Reads and checks at most `length` bytes from `offset` on; false when they are damaged.
  bool Verify(uint64_t offset, uint64_t length, uint8_t* buffer) const;

  const Digest& name() const { return name_; }
  uint64_t sizeBytes() const { return sizeBytes_; }
  int fd() const { return file_.get(); }

 private:
  BlobFile() = default;
  bool Matches(uint64_t firstBlock, std::span<const uint8_t> bytes) const;

  Digest name_{};
  uint64_t sizeBytes_ = 0;
  Fd file_;
  Fd crcFile_;
  BlockCrcs crcs_;
};

}  // namespace refmount
