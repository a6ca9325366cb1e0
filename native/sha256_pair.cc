#include "sha256_pair.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace refmount {
namespace {

constexpr size_t kBlockSize = 64;
constexpr std::array<uint32_t, 8> kStart = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                            0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

#if defined(__x86_64__)

alignas(16) constexpr uint32_t kRounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define REFMOUNT_SHA_TARGET __attribute__((target("sha,sse4.1")))

/// The eight words in the order that the instructions want: A B E F and C D G H.
struct Registers {
  __m128i abef, cdgh;
};

REFMOUNT_SHA_TARGET inline Registers Load(const uint32_t* words) {
  const auto* from = reinterpret_cast<const __m128i*>(words);
  const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(from), 0xb1);
  const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(from + 1), 0x1b);
  return {_mm_alignr_epi8(badc, hgfe, 8), _mm_blend_epi16(hgfe, badc, 0xf0)};
}

REFMOUNT_SHA_TARGET inline void Store(const Registers& registers, uint32_t* words) {
  auto* to = reinterpret_cast<__m128i*>(words);
  const __m128i feba = _mm_shuffle_epi32(registers.abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(registers.cdgh, 0xb1);
  _mm_storeu_si128(to, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(to + 1, _mm_alignr_epi8(dchg, feba, 8));
}

REFMOUNT_SHA_TARGET inline void FourRounds(__m128i words, Registers* registers) {
  registers->cdgh = _mm_sha256rnds2_epu32(registers->cdgh, registers->abef, words);
  const __m128i upper = _mm_shuffle_epi32(words, 0x0e);
  registers->abef = _mm_sha256rnds2_epu32(registers->abef, registers->cdgh, upper);
}

REFMOUNT_SHA_TARGET inline void Add(const Registers& before, Registers* registers) {
  registers->abef = _mm_add_epi32(registers->abef, before.abef);
  registers->cdgh = _mm_add_epi32(registers->cdgh, before.cdgh);
}

/// Whole blocks into `first`, and into `second` too where kTwo.
template <bool kTwo>
REFMOUNT_SHA_TARGET void Compress(uint32_t* first, uint32_t* second, const uint8_t* bytes,
                                  size_t blocks) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  Registers one = Load(first);
  Registers two = Load(kTwo ? second : first);
  for (; blocks > 0; blocks--, bytes += kBlockSize) {
    const Registers one_before = one;
    const Registers two_before = two;
    __m128i schedule[4];
    for (int i = 0; i < 4; i++) {
      const auto* from = reinterpret_cast<const __m128i*>(bytes) + i;
      schedule[i] = _mm_shuffle_epi8(_mm_loadu_si128(from), big_endian);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      const auto* constants = reinterpret_cast<const __m128i*>(kRounds) + i;
      const __m128i words = _mm_add_epi32(schedule[i % 4], _mm_load_si128(constants));
      FourRounds(words, &one);
      if (kTwo) FourRounds(words, &two);
      if (i >= 12) continue;
      const __m128i older = _mm_sha256msg1_epu32(schedule[i % 4], schedule[(i + 1) % 4]);
      const __m128i between = _mm_alignr_epi8(schedule[(i + 3) % 4], schedule[(i + 2) % 4], 4);
      schedule[i % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(older, between), schedule[(i + 3) % 4]);
    }
    Add(one_before, &one);
    if (kTwo) Add(two_before, &two);
  }
  Store(one, first);
  if (kTwo) Store(two, second);
}

#else

template <bool kTwo>
void Compress(uint32_t*, uint32_t*, const uint8_t*, size_t) {}

#endif

/// Appends the padding to `size` bytes of a last block and gives the digest.
void Close(uint32_t* state, const uint8_t* pending, size_t size, uint64_t total_bytes,
           uint8_t* digest) {
  uint8_t last[2 * kBlockSize] = {};
  memcpy(last, pending, size);
  last[size] = 0x80;
  const size_t blocks = size + 9 <= kBlockSize ? 1 : 2;
  for (size_t i = 0; i < 8; i++) {
    last[blocks * kBlockSize - 1 - i] = static_cast<uint8_t>(total_bytes * 8 >> (8 * i));
  }
  Compress<false>(state, nullptr, last, blocks);
  for (size_t i = 0; i < kSha256Bytes; i++) {
    digest[i] = static_cast<uint8_t>(state[i / 4] >> (24 - 8 * (i % 4)));
  }
}

}  // namespace

Sha256Pair::Sha256Pair() : whole_(kStart), chunk_(kStart) {}

void Sha256Pair::Update(const void* bytes, size_t size) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  const size_t held = size_bytes_ % kBlockSize;
  size_bytes_ += size;
  if (held > 0) {
    const size_t part = std::min(size, kBlockSize - held);
    memcpy(pending_ + held, from, part);
    from += part;
    size -= part;
    if (held + part < kBlockSize) return;
    UpdateBlocks(pending_, 1);
  }
  UpdateBlocks(from, size / kBlockSize);
  if (size % kBlockSize > 0) {
    memcpy(pending_, from + size / kBlockSize * kBlockSize, size % kBlockSize);
  }
}

/// In the first chunk both digests are the same: `chunk_` is not used.
void Sha256Pair::UpdateBlocks(const uint8_t* bytes, size_t blocks) {
  if (blocks == 0) return;
  if (chunk_start_ == 0) {
    Compress<false>(whole_.data(), nullptr, bytes, blocks);
  } else {
    Compress<true>(whole_.data(), chunk_.data(), bytes, blocks);
  }
}

void Sha256Pair::EndChunk(uint8_t* digest) {
  State ended = chunk_start_ == 0 ? whole_ : chunk_;
  Close(ended.data(), pending_, size_bytes_ % kBlockSize, size_bytes_ - chunk_start_, digest);
  chunk_ = kStart;
  chunk_start_ = size_bytes_;
}

void Sha256Pair::Finish(uint8_t* digest) {
  Close(whole_.data(), pending_, size_bytes_ % kBlockSize, size_bytes_, digest);
}

}  // namespace refmount
