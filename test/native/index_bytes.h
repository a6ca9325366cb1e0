// Builds the bytes of a small inode index by hand, right or deliberately wrong.

#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "../../native/crc.h"
#include "../../native/tree.h"

namespace refmount {

/// A record as it lies in the file, and its name.
struct TestRecord {
  uint64_t sizeBytes = 0;
  int64_t mtimeMs = 0;
  uint32_t parent = 1;
  uint32_t firstChild = 0;
  uint32_t childCount = 0;
  uint8_t kind = 2;
  uint8_t flags = 0;
  uint32_t subdirCount = 0;
  std::string name = {};
};

inline Digest TestManifest() {
  Digest digest;
  for (size_t i = 0; i < digest.size(); i++) digest[i] = static_cast<uint8_t>(i);
  return digest;
}

/// /dir (2), /file (3, 10 bytes), /dir/a (4, size unknown), /dir/b (5, 5 GiB).
inline std::vector<TestRecord> TestTree() {
  return {
      {.mtimeMs = 1'700'000'000'123, .firstChild = 2, .childCount = 2, .kind = 1, .subdirCount = 1},
      {.mtimeMs = -1, .firstChild = 4, .childCount = 2, .kind = 1, .name = "dir"},
      {.sizeBytes = 10, .mtimeMs = -1500, .name = "file"},
      {.parent = 2, .flags = 1, .name = "a"},
      {.sizeBytes = uint64_t{5} << 30, .parent = 2, .name = "b"},
  };
}

inline void Put(std::vector<uint8_t>* bytes, size_t at, const void* value, size_t size) {
  if (bytes->size() < at + size) bytes->resize(at + size);
  std::memcpy(bytes->data() + at, value, size);
}

/// Computes the header's checksum anew, after a test has changed a field of it.
inline void SealHeader(std::vector<uint8_t>* bytes) {
  const uint32_t zero = 0;
  Put(bytes, 12, &zero, sizeof(zero));
  const uint32_t crc = Crc32c(0, bytes->data(), 128);
  Put(bytes, 12, &crc, sizeof(crc));
}

/// The index with right checksums, whatever the records claim.
inline std::vector<uint8_t> IndexBytes(const std::vector<TestRecord>& records) {
  std::vector<uint8_t> bytes(128 + 48 * records.size());
  std::string names;
  uint64_t id = 0;
  for (const TestRecord& record : records) {
    id++;
    const size_t at = 128 + 48 * (id - 1);
    const uint64_t nameOffset = names.size();
    const auto nameBytes = static_cast<uint16_t>(record.name.size());
    Put(&bytes, at, &record.sizeBytes, 8);
    Put(&bytes, at + 8, &record.mtimeMs, 8);
    Put(&bytes, at + 16, &nameOffset, 8);
    Put(&bytes, at + 24, &record.parent, 4);
    Put(&bytes, at + 28, &record.firstChild, 4);
    Put(&bytes, at + 32, &record.childCount, 4);
    Put(&bytes, at + 36, &nameBytes, 2);
    Put(&bytes, at + 38, &record.kind, 1);
    Put(&bytes, at + 39, &record.flags, 1);
    Put(&bytes, at + 40, &record.subdirCount, 4);
    uint32_t crc = Crc32c(0, bytes.data() + at, 44);
    crc = Crc32c(crc, &id, 8);
    crc = Crc32c(crc, record.name.data(), record.name.size());
    Put(&bytes, at + 44, &crc, 4);
    names += record.name;
  }
  const uint64_t header[] = {id, id, 10, 128, 128 + 48 * id, names.size()};
  const uint32_t version = 1;
  const Digest manifest = TestManifest();
  Put(&bytes, 0, "RFMIDX01", 8);
  Put(&bytes, 8, &version, 4);
  Put(&bytes, 16, header, sizeof(header));
  Put(&bytes, 64, manifest.data(), manifest.size());
  bytes.insert(bytes.end(), names.begin(), names.end());
  SealHeader(&bytes);
  return bytes;
}

}  // namespace refmount
