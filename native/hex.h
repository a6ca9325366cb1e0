// Digests as lower-case hex.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace refmount {

inline std::string Hex(const uint8_t* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * size);
  for (size_t i = 0; i < size; i++) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

/// A checksum as it is written down: its most significant byte first.
template <class Word>
void StoreBigEndian(Word word, uint8_t* bytes) {
  for (size_t i = 0; i < sizeof word; i++) {
    bytes[i] = static_cast<uint8_t>(word >> (8 * (sizeof word - 1 - i)));
  }
}

template <class Word>
std::string HexOfWord(Word word) {
  uint8_t bytes[sizeof word];
  StoreBigEndian(word, bytes);
  return Hex(bytes, sizeof bytes);
}

}  // namespace refmount
