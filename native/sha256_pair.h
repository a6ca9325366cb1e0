// SHA-256 of a stream and of its current chunk at once, for processors with SHA instructions: both
// see the same bytes, so the message schedule is computed once, and the two chains of rounds, each
// waiting for its own results, run side by side at about the price of one.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace refmount {

constexpr size_t kSha256Bytes = 32;

/// Takes a stream in pieces of any size. Only where HasSha256().
class Sha256Pair {
 public:
  Sha256Pair();

  void Update(const void* bytes, size_t size);

  /// Gives the digest of the bytes since the last chunk's end and begins the next chunk. All chunks
  /// but the last must be multiples of 64 bytes.
  void EndChunk(uint8_t* digest);

  /// Gives the digest of everything; called once, last.
  void Finish(uint8_t* digest);

 private:
  using State = std::array<uint32_t, 8>;

  void UpdateBlocks(const uint8_t* bytes, size_t blocks);

  State whole_, chunk_;
  uint64_t size_bytes_ = 0;
  uint64_t chunk_start_ = 0;
  /// The bytes of a block that is not complete yet.
  uint8_t pending_[64];
};

}  // namespace refmount
