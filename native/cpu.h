// What this processor can do beyond the portable code. REFMOUNT_PORTABLE=1 in the environment of
// the process denies everything, so that tests see the portable code on any machine.

#pragma once

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

namespace refmount {

inline bool IsPortable() {
  const char* value = getenv("REFMOUNT_PORTABLE");
  return value != nullptr && value[0] == '1';
}

struct CpuFeatures {
  bool crc32c = false, carryless_multiply = false, sha256 = false;
};

inline CpuFeatures DetectCpu() {
  CpuFeatures features;
  if (IsPortable()) return features;
#if defined(__x86_64__)
  features.crc32c = __builtin_cpu_supports("sse4.2");
  features.carryless_multiply =
      __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  // Not every compiler knows "sha" by name: leaf 7, EBX, bit 29.
  unsigned eax, ebx, ecx, edx;
  features.sha256 = __builtin_cpu_supports("sse4.1") &&
                    __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx >> 29 & 1) != 0;
#elif defined(__aarch64__)
  features.crc32c = (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#endif
  return features;
}

inline const CpuFeatures& DetectedCpu() {
  static const CpuFeatures features = DetectCpu();
  return features;
}

/// CRC-32C instructions.
inline bool HasCrc32c() { return DetectedCpu().crc32c; }
/// Carry-less multiplication.
inline bool HasCarrylessMultiply() { return DetectedCpu().carryless_multiply; }
/// SHA-256 instructions.
inline bool HasSha256() { return DetectedCpu().sha256; }

}  // namespace refmount
