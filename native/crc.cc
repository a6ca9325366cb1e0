// Three reflected CRCs. Tables (slicing-by-8) work everywhere; CRC-32C has instructions of its own
// on x86 and ARM, run in three lanes; the others fold with carry-less multiplication on x86. Which
// one is used is decided at run time.

#include "crc.h"

#include <array>
#include <bit>
#include <cstring>

#include "cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#endif

static_assert(std::endian::native == std::endian::little, "words are loaded as little endian");

namespace refmount {
namespace {

inline uint64_t Load64(const uint8_t* bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/// Multiplies the reflected residue by x.
template <class Word>
constexpr Word TimesX(Word residue, Word polynomial) {
  return (residue >> 1) ^ ((residue & 1) != 0 ? polynomial : 0);
}

/// Slicing-by-8: eight bytes a step. `State` is the register itself: inverted by the callers.
template <class Word, Word kPolynomial>
struct Sliced {
  using Tables = std::array<std::array<Word, 256>, 8>;

  static constexpr Tables MakeTables() {
    Tables tables{};
    for (unsigned byte = 0; byte < 256; byte++) {
      Word word = byte;
      for (int bit = 0; bit < 8; bit++) word = TimesX(word, kPolynomial);
      tables[0][byte] = word;
    }
    for (unsigned slice = 1; slice < 8; slice++) {
      for (unsigned byte = 0; byte < 256; byte++) {
        const Word before = tables[slice - 1][byte];
        tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xff];
      }
    }
    return tables;
  }
  static constexpr Tables kTables = MakeTables();

  static Word Update(Word state, const uint8_t* bytes, size_t size) {
    for (; size >= 8; bytes += 8, size -= 8) {
      const uint64_t word = Load64(bytes) ^ state;
      state = 0;
      for (unsigned slice = 0; slice < 8; slice++) {
        state ^= kTables[7 - slice][(word >> (8 * slice)) & 0xff];
      }
    }
    for (; size > 0; bytes++, size--) state = (state >> 8) ^ kTables[0][(state ^ *bytes) & 0xff];
    return state;
  }
};

constexpr uint32_t kCastagnoli = 0x82f63b78;
using Sliced32c = Sliced<uint32_t, kCastagnoli>;
using Sliced32 = Sliced<uint32_t, 0xedb88320>;
using Sliced64 = Sliced<uint64_t, 0x9a6c9329ac4bc9b5>;

// CRC-32C by instructions: one lane waits for each result, so three lanes run side by side and are
// joined by shifting. Three lanes of 1360 bytes are a 4096-byte block but for 16 bytes.
constexpr size_t kLaneBytes = 1360;
static_assert(kLaneBytes % 8 == 0);

/// What kLaneBytes zero bytes make of each byte of the register.
constexpr std::array<std::array<uint32_t, 256>, 4> MakeLaneShift() {
  std::array<std::array<uint32_t, 256>, 4> shift{};
  for (unsigned bit = 0; bit < 32; bit++) {
    uint32_t state = 1u << bit;
    for (size_t zero = 0; zero < kLaneBytes; zero++) {
      state = (state >> 8) ^ Sliced32c::kTables[0][state & 0xff];
    }
    shift[bit / 8][1u << (bit % 8)] = state;
  }
  for (auto& table : shift) {
    for (unsigned byte = 1; byte < 256; byte++) {
      const unsigned low = byte & -byte;
      if (low != byte) table[byte] = table[low] ^ table[byte ^ low];
    }
  }
  return shift;
}
constexpr auto kLaneShift = MakeLaneShift();

inline uint32_t ShiftLane(uint32_t state) {
  return kLaneShift[0][state & 0xff] ^ kLaneShift[1][(state >> 8) & 0xff] ^
         kLaneShift[2][(state >> 16) & 0xff] ^ kLaneShift[3][state >> 24];
}

#if defined(__x86_64__)

#define REFMOUNT_CRC32C_TARGET __attribute__((target("sse4.2")))
#define REFMOUNT_CRC32C_8(state, bytes) static_cast<uint32_t>(_mm_crc32_u64(state, Load64(bytes)))
#define REFMOUNT_CRC32C_1(state, byte) _mm_crc32_u8(state, byte)

#elif defined(__aarch64__)

#define REFMOUNT_CRC32C_TARGET __attribute__((target("+crc")))
#define REFMOUNT_CRC32C_8(state, bytes) __crc32cd(state, Load64(bytes))
#define REFMOUNT_CRC32C_1(state, byte) __crc32cb(state, byte)

#endif

#if defined(REFMOUNT_CRC32C_TARGET)
REFMOUNT_CRC32C_TARGET uint32_t Crc32cInstructions(uint32_t state, const uint8_t* bytes,
                                                   size_t size) {
  for (; size >= 3 * kLaneBytes; bytes += 3 * kLaneBytes, size -= 3 * kLaneBytes) {
    uint32_t second = 0;
    uint32_t third = 0;
    for (size_t at = 0; at < kLaneBytes; at += 8) {
      state = REFMOUNT_CRC32C_8(state, bytes + at);
      second = REFMOUNT_CRC32C_8(second, bytes + kLaneBytes + at);
      third = REFMOUNT_CRC32C_8(third, bytes + 2 * kLaneBytes + at);
    }
    state = ShiftLane(ShiftLane(state) ^ second) ^ third;
  }
  for (; size >= 8; bytes += 8, size -= 8) state = REFMOUNT_CRC32C_8(state, bytes);
  for (; size > 0; bytes++, size--) state = REFMOUNT_CRC32C_1(state, *bytes);
  return state;
}
#endif

#if defined(__x86_64__)

/// x^exponent modulo the polynomial, reflected into 64 bits as carry-less products need it.
template <class Word>
constexpr uint64_t Power(unsigned exponent, Word polynomial) {
  Word residue = Word{1} << (8 * sizeof(Word) - 1);
  for (unsigned i = 0; i < exponent; i++) residue = TimesX(residue, polynomial);
  return static_cast<uint64_t>(residue) << (64 - 8 * sizeof(Word));
}

__attribute__((target("pclmul,sse4.1"))) inline __m128i Fold(__m128i state, __m128i powers,
                                                             __m128i next) {
  return _mm_xor_si128(next, _mm_xor_si128(_mm_clmulepi64_si128(state, powers, 0x00),
                                           _mm_clmulepi64_si128(state, powers, 0x11)));
}

__attribute__((target("pclmul,sse4.1"))) inline __m128i Load128(const uint8_t* bytes) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
}

/// Folds 64 bytes a step into four 16-byte remainders, those into one, and leaves the rest to the
/// tables. A reflected product is one bit short, hence the exponents less one.
template <class Word, Word kPolynomial>
__attribute__((target("pclmul,sse4.1"))) Word Folded(Word state, const uint8_t* bytes,
                                                     size_t size) {
  using Tables = Sliced<Word, kPolynomial>;
  if (size < 128) return Tables::Update(state, bytes, size);
  constexpr uint64_t kBy64Low = Power(512 + 63, kPolynomial);
  constexpr uint64_t kBy64High = Power(512 - 1, kPolynomial);
  constexpr uint64_t kBy16Low = Power(128 + 63, kPolynomial);
  constexpr uint64_t kBy16High = Power(128 - 1, kPolynomial);
  const __m128i by64 =
      _mm_set_epi64x(static_cast<long long>(kBy64High), static_cast<long long>(kBy64Low));
  const __m128i by16 =
      _mm_set_epi64x(static_cast<long long>(kBy16High), static_cast<long long>(kBy16Low));
  const __m128i start = _mm_set_epi64x(0, static_cast<long long>(static_cast<uint64_t>(state)));
  __m128i lanes[4] = {_mm_xor_si128(Load128(bytes), start), Load128(bytes + 16),
                      Load128(bytes + 32), Load128(bytes + 48)};
  for (bytes += 64, size -= 64; size >= 64; bytes += 64, size -= 64) {
    for (int lane = 0; lane < 4; lane++) {
      lanes[lane] = Fold(lanes[lane], by64, Load128(bytes + 16 * lane));
    }
  }
  __m128i joined = lanes[0];
  for (int lane = 1; lane < 4; lane++) joined = Fold(joined, by16, lanes[lane]);
  uint8_t remainder[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(remainder), joined);
  return Tables::Update(Tables::Update(0, remainder, sizeof remainder), bytes, size);
}

#endif

}  // namespace

uint32_t Crc32c(uint32_t seed, const void* bytes, size_t size) {
  const auto* from = static_cast<const uint8_t*>(bytes);
#if defined(REFMOUNT_CRC32C_TARGET)
  if (HasCrc32c()) return ~Crc32cInstructions(~seed, from, size);
#endif
  return ~Sliced32c::Update(~seed, from, size);
}

uint32_t Crc32(uint32_t seed, const void* bytes, size_t size) {
  const auto* from = static_cast<const uint8_t*>(bytes);
#if defined(__x86_64__)
  if (HasCarrylessMultiply()) return ~Folded<uint32_t, 0xedb88320>(~seed, from, size);
#endif
  return ~Sliced32::Update(~seed, from, size);
}

uint64_t Crc64Nvme(uint64_t seed, const void* bytes, size_t size) {
  const auto* from = static_cast<const uint8_t*>(bytes);
#if defined(__x86_64__)
  if (HasCarrylessMultiply()) return ~Folded<uint64_t, 0x9a6c9329ac4bc9b5>(~seed, from, size);
#endif
  return ~Sliced64::Update(~seed, from, size);
}

}  // namespace refmount
