// Checksums and SHA-256 over buffers of exact size, so that the sanitizers see a read beyond them.
// Prints each check that fails; the exit code counts them.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "../../native/cpu.h"
#include "../../native/crc.h"
#include "../../native/md5_lanes.h"
#include "../../native/part_cuts.h"
#include "../../native/sha256_pair.h"

using namespace refmount;

static int failures = 0;

#define CHECK(condition)                                     \
  do {                                                       \
    if (!(condition)) {                                      \
      failures++;                                            \
      printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
    }                                                        \
  } while (false)

static std::unique_ptr<uint8_t[]> Bytes(size_t size) {
  std::unique_ptr<uint8_t[]> bytes(new uint8_t[size]);
  uint32_t state = 1;
  for (size_t i = 0; i < size; i++) {
    state = state * 1664525 + 1013904223;
    bytes[i] = static_cast<uint8_t>(state >> 24);
  }
  return bytes;
}

static void ChecksumsAreTheSameInOnePieceAndInTwo(size_t size) {
  const auto bytes = Bytes(size);
  for (const size_t cut : {size_t{0}, size / 3, size}) {
    const uint8_t* rest = bytes.get() + cut;
    CHECK(Crc32c(Crc32c(0, bytes.get(), cut), rest, size - cut) == Crc32c(0, bytes.get(), size));
    CHECK(Crc32(Crc32(0, bytes.get(), cut), rest, size - cut) == Crc32(0, bytes.get(), size));
    CHECK(Crc64Nvme(Crc64Nvme(0, bytes.get(), cut), rest, size - cut) ==
          Crc64Nvme(0, bytes.get(), size));
  }
}

static void KnownValues() {
  CHECK(Crc32c(0, "123456789", 9) == 0xe3069283);
  CHECK(Crc32(0, "123456789", 9) == 0xcbf43926);
  CHECK(Crc64Nvme(0, "123456789", 9) == 0xae8b14860a799888);
  if (!HasSha256()) return;
  Sha256Pair pair;
  pair.Update("abc", 3);
  uint8_t whole[kSha256Bytes];
  pair.Finish(whole);
  CHECK(memcmp(whole, "\xba\x78\x16\xbf\x8f\x01\xcf\xea", 8) == 0);
}

/// Chunks of 128 bytes: each must have the digest that its bytes have alone.
static void ChunkDigestsAreThoseOfTheChunks(size_t size) {
  if (!HasSha256()) return;
  constexpr size_t kChunk = 128;
  const auto bytes = Bytes(size);
  Sha256Pair pieces;
  for (size_t at = 0; at < size; at += kChunk) {
    const size_t chunk = size - at < kChunk ? size - at : kChunk;
    const size_t half = chunk / 2;
    pieces.Update(bytes.get() + at, half);
    pieces.Update(bytes.get() + at + half, chunk - half);
    uint8_t ended[kSha256Bytes];
    pieces.EndChunk(ended);
    Sha256Pair alone;
    alone.Update(bytes.get() + at, chunk);
    uint8_t expected[kSha256Bytes];
    alone.Finish(expected);
    CHECK(memcmp(ended, expected, kSha256Bytes) == 0);
  }
  uint8_t whole[kSha256Bytes];
  pieces.Finish(whole);
  Sha256Pair once;
  once.Update(bytes.get(), size);
  uint8_t expected[kSha256Bytes];
  once.Finish(expected);
  CHECK(memcmp(whole, expected, kSha256Bytes) == 0);
}

/// Takes `bytes` in pieces of `step` and gives the sizes of the parts that they fall into.
static std::vector<uint64_t> Parts(PartSizes sizes, uint64_t bytes, uint64_t step) {
  PartCuts cuts(std::move(sizes));
  std::vector<uint64_t> parts{0};
  const auto next = [&] {
    cuts.Next();
    parts.push_back(0);
  };
  for (uint64_t left = bytes; left > 0;) {
    uint64_t taken = left < step ? left : step;
    if (cuts.left() < taken) taken = cuts.left();
    cuts.Take(taken);
    parts.back() += taken;
    left -= taken;
    if (cuts.left() == 0) next();
  }
  while (!cuts.last()) next();
  return parts;
}

static void PartsAreCutWhereTheyEnd() {
  using Sizes = std::vector<uint64_t>;
  for (const uint64_t step : {1, 2, 3, 5, 100}) {
    CHECK(Parts({{4}, 3}, 10, step) == (Sizes{4, 4, 2}));
    CHECK(Parts({{4}, 2}, 10, step) == (Sizes{4, 6}));
    CHECK(Parts({{4}, 3}, 12, step) == (Sizes{4, 4, 4}));
    CHECK(Parts({{0, 3, 0, 2}, 4}, 5, step) == (Sizes{0, 3, 0, 2}));
    CHECK(Parts({{5, 1}, 4}, 9, step) == (Sizes{5, 1, 1, 2}));
    CHECK(Parts({{7}, 1}, 9, step) == (Sizes{9}));
    CHECK(Parts({{7}, 3}, 2, step) == (Sizes{2, 0, 0}));
  }
}

static bool HasMd5(const Md5Lanes& lanes, size_t lane, const char* expected) {
  uint8_t digest[kMd5Bytes];
  lanes.Finish(lane, digest);
  char hex[2 * kMd5Bytes + 1];
  for (size_t i = 0; i < kMd5Bytes; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
  return strcmp(hex, expected) == 0;
}

/// The suite of RFC 1321: messages of other lengths beside each other.
static void LanesHaveTheDigestsOfTheRfc() {
  const char* const suite[][2] = {
      {"", "d41d8cd98f00b204e9800998ecf8427e"},
      {"a", "0cc175b9c0f1b6a831c399e269772661"},
      {"abc", "900150983cd24fb0d6963f7d28e17f72"},
      {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
      {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
      {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
       "d174ab98d277d9f5a5611c2c9f419d9f"},
      {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
       "57edf4a22be3c955ac49da2e2107b67a"},
  };
  Md5Lanes lanes;
  std::array<Md5Lanes::Piece, Md5Lanes::kLanes> pieces{};
  for (size_t i = 0; i < 7; i++) {
    const char* const text = suite[i][0];
    pieces[i] = {reinterpret_cast<const uint8_t*>(text), strlen(text), true};
  }
  lanes.Update(pieces);
  for (size_t i = 0; i < 7; i++) CHECK(HasMd5(lanes, i, suite[i][1]));
}

/// Each lane, fed in pieces beside others of other lengths, has the digest that it has alone.
static void LanesDoNotDisturbOneAnother() {
  Md5Lanes together;
  constexpr size_t kPieces = 5;
  const auto bytes = Bytes(kPieces * 512);
  const auto size_of = [](size_t lane, size_t piece) {
    if (piece < lane % kPieces) return size_t{64} * (1 + (lane + piece) % 8);
    return piece == lane % kPieces ? 37 * lane : size_t{0};
  };
  for (size_t piece = 0; piece < kPieces; piece++) {
    std::array<Md5Lanes::Piece, Md5Lanes::kLanes> pieces{};
    for (size_t lane = 0; lane < Md5Lanes::kLanes; lane++) {
      pieces[lane] = {bytes.get() + 512 * piece, size_of(lane, piece), piece == lane % kPieces};
    }
    together.Update(pieces);
  }
  for (size_t lane = 0; lane < Md5Lanes::kLanes; lane++) {
    Md5Lanes alone;
    for (size_t piece = 0; piece <= lane % kPieces; piece++) {
      std::array<Md5Lanes::Piece, Md5Lanes::kLanes> pieces{};
      pieces[0] = {bytes.get() + 512 * piece, size_of(lane, piece), piece == lane % kPieces};
      alone.Update(pieces);
    }
    uint8_t one[kMd5Bytes], other[kMd5Bytes];
    alone.Finish(0, one);
    together.Finish(lane, other);
    CHECK(memcmp(one, other, sizeof one) == 0);
  }
}

int main() {
  PartsAreCutWhereTheyEnd();
  LanesHaveTheDigestsOfTheRfc();
  LanesDoNotDisturbOneAnother();
  KnownValues();
  for (size_t size = 0; size < 400; size++) {
    ChecksumsAreTheSameInOnePieceAndInTwo(size);
    ChunkDigestsAreThoseOfTheChunks(size);
  }
  for (size_t size = 4060; size < 4110; size++) ChecksumsAreTheSameInOnePieceAndInTwo(size);
  return failures;
}
