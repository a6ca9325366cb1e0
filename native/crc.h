// Cyclic redundancy checks, each by the fastest way that this processor has. Thread-safe, no state.

#pragma once

#include <cstddef>
#include <cstdint>

namespace refmount {

/// CRC-32C (Castagnoli) of `bytes`, continuing from `seed`, which is the CRC of what came before (0
/// at the start).
uint32_t Crc32c(uint32_t seed, const void* bytes, size_t size);

/// CRC-32 as in zlib, continuing from `seed`.
uint32_t Crc32(uint32_t seed, const void* bytes, size_t size);

/// CRC-64/NVME, continuing from `seed`.
uint64_t Crc64Nvme(uint64_t seed, const void* bytes, size_t size);

}  // namespace refmount
