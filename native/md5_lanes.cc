#include "md5_lanes.h"

#include <algorithm>
#include <cstring>

namespace refmount {
namespace {

constexpr size_t kBlockBytes = 64;
constexpr size_t kLanes = Md5Lanes::kLanes;
constexpr uint32_t kStart[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};

constexpr uint32_t kSines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
constexpr int kShifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

/// A word of every lane. The compiler makes of it the vectors that every processor of its kind has;
/// wider ones gain nothing, since gathering the words takes as long.
typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));

uint32_t LoadWord(const uint8_t* bytes) {
  uint32_t word;
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "MD5 reads little endian");
  memcpy(&word, bytes, sizeof word);
  return word;
}

/// One block: RFC 1321, for a word of one message or of several.
template <class Word>
void Compress(const Word (&message)[16], Word* state) {
  Word a = state[0], b = state[1], c = state[2], d = state[3];
#pragma GCC unroll 64
  for (int i = 0; i < 64; i++) {
    const int round = i / 16;
    const Word mixed = round == 0   ? d ^ (b & (c ^ d))
                       : round == 1 ? c ^ (d & (b ^ c))
                       : round == 2 ? b ^ c ^ d
                                    : c ^ (b | ~d);
    const int word = round == 0   ? i
                     : round == 1 ? (5 * i + 1) % 16
                     : round == 2 ? (3 * i + 5) % 16
                                  : 7 * i % 16;
    const Word sum = a + mixed + message[word] + kSines[i];
    const int shift = kShifts[round][i % 4];
    a = d;
    d = c;
    c = b;
    b = b + (sum << shift | sum >> (32 - shift));
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

/// `blocks` blocks of every lane; lane i goes on by `steps[i]` bytes after each.
void CompressLanes(uint32_t (*state)[kLanes], std::array<const uint8_t*, kLanes> from,
                   const std::array<size_t, kLanes>& steps, size_t blocks) {
  Words words[4];
  memcpy(words, state, sizeof words);
  for (; blocks > 0; blocks--) {
    Words message[16] = {};
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++) {
      message[i] = Words{LoadWord(from[0] + 4 * i), LoadWord(from[1] + 4 * i),
                         LoadWord(from[2] + 4 * i), LoadWord(from[3] + 4 * i),
                         LoadWord(from[4] + 4 * i), LoadWord(from[5] + 4 * i),
                         LoadWord(from[6] + 4 * i), LoadWord(from[7] + 4 * i)};
    }
    Compress(message, words);
    for (size_t lane = 0; lane < kLanes; lane++) from[lane] += steps[lane];
  }
  memcpy(state, words, sizeof words);
}

void CompressOne(uint32_t (*state)[kLanes], size_t lane, const uint8_t* from, size_t blocks) {
  uint32_t words[4];
  for (size_t i = 0; i < 4; i++) words[i] = state[i][lane];
  for (; blocks > 0; blocks--, from += kBlockBytes) {
    uint32_t message[16];
    for (size_t i = 0; i < 16; i++) message[i] = LoadWord(from + 4 * i);
    Compress(message, words);
  }
  for (size_t i = 0; i < 4; i++) state[i][lane] = words[i];
}

}  // namespace

Md5Lanes::Md5Lanes() {
  for (size_t i = 0; i < 4; i++) std::fill_n(state_[i], kLanes, kStart[i]);
}

void Md5Lanes::Update(const std::array<Piece, kLanes>& pieces) {
  Cursors from{};
  Counts blocks{};
  for (size_t lane = 0; lane < kLanes; lane++) {
    from[lane] = pieces[lane].bytes;
    blocks[lane] = pieces[lane].size / kBlockBytes;
    sizes_[lane] += pieces[lane].size;
  }
  UpdateBlocks(from, blocks);
  // What is left of a last piece, the mark of its end, and the length in bits.
  uint8_t tails[kLanes][2 * kBlockBytes] = {};
  for (size_t lane = 0; lane < kLanes; lane++) {
    const Piece& piece = pieces[lane];
    blocks[lane] = 0;
    if (!piece.last) continue;
    const size_t rest = piece.size % kBlockBytes;
    if (rest > 0) memcpy(tails[lane], piece.bytes + piece.size - rest, rest);
    tails[lane][rest] = 0x80;
    blocks[lane] = rest + 9 <= kBlockBytes ? 1 : 2;
    const uint64_t bits = sizes_[lane] * 8;
    memcpy(tails[lane] + blocks[lane] * kBlockBytes - sizeof bits, &bits, sizeof bits);
    from[lane] = tails[lane];
  }
  UpdateBlocks(from, blocks);
}

void Md5Lanes::UpdateBlocks(Cursors from, Counts blocks) {
  static constexpr uint8_t kNothing[kBlockBytes] = {};
  while (true) {
    size_t active = 0;
    size_t common = SIZE_MAX;
    size_t last = 0;
    for (size_t lane = 0; lane < kLanes; lane++) {
      if (blocks[lane] == 0) continue;
      active++;
      common = std::min(common, blocks[lane]);
      last = lane;
    }
    if (active == 0) return;
    if (active == 1) {
      CompressOne(state_, last, from[last], blocks[last]);
      return;
    }
    // The lanes that are done go along and are put back.
    Cursors cursors;
    Counts steps;
    uint32_t before[4][kLanes];
    memcpy(before, state_, sizeof before);
    for (size_t lane = 0; lane < kLanes; lane++) {
      const bool goes = blocks[lane] > 0;
      cursors[lane] = goes ? from[lane] : kNothing;
      steps[lane] = goes ? kBlockBytes : 0;
    }
    CompressLanes(state_, cursors, steps, common);
    for (size_t lane = 0; lane < kLanes; lane++) {
      if (steps[lane] == 0) {
        for (size_t i = 0; i < 4; i++) state_[i][lane] = before[i][lane];
      } else {
        from[lane] += common * kBlockBytes;
        blocks[lane] -= common;
      }
    }
  }
}

void Md5Lanes::Finish(size_t lane, uint8_t* digest) const {
  for (size_t i = 0; i < 4; i++) memcpy(digest + 4 * i, &state_[i][lane], 4);
}

}  // namespace refmount
