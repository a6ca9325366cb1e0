// MD5 of eight messages at once. Every step of MD5 waits for the one before, so a processor does the
// same step for eight messages in hardly more time than for one.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace refmount {

constexpr size_t kMd5Bytes = 16;

class Md5Lanes {
 public:
  static constexpr size_t kLanes = 8;

  /// The next bytes of one lane's message.
  struct Piece {
    const uint8_t* bytes = nullptr;
    /// A multiple of 64, unless it is the last.
    size_t size = 0;
    bool last = false;
  };

  Md5Lanes();

  /// Takes a piece for each lane; an empty one leaves its lane as it is.
  void Update(const std::array<Piece, kLanes>& pieces);

  /// The digest of a lane whose last piece was taken, 16 bytes.
  void Finish(size_t lane, uint8_t* digest) const;

 private:
  using Cursors = std::array<const uint8_t*, kLanes>;
  using Counts = std::array<size_t, kLanes>;

  /// Takes `blocks[i]` blocks at `from[i]`.
  void UpdateBlocks(Cursors from, Counts blocks);

  /// By word, then by lane: a word of all lanes is one vector.
  alignas(32) uint32_t state_[4][kLanes];
  std::array<uint64_t, kLanes> sizes_{};
};

}  // namespace refmount
