// Everything that is computed over an object's bytes in one pass: whole digests, chunk digests,
// block checksums. No I/O.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sha256_pair.h"

struct evp_md_ctx_st;

namespace refmount {

/// One chunk has its own SHA-256, one block its own CRC-32C; the last of each may be shorter.
constexpr size_t kChunkBytes = 1 << 20;
constexpr size_t kBlockBytes = 4096;

/// Optional digests; SHA-256 is always computed.
enum Algorithm : unsigned {
  kMd5 = 1 << 0,
  kSha1 = 1 << 1,
  kCrc64Nvme = 1 << 2,
  kCrc32c = 1 << 3,
  kCrc32 = 1 << 4,
};

struct Hashes {
  uint64_t size_bytes = 0;
  /// Lower-case hex; empty where not asked for.
  std::string sha256, md5, sha1, crc64nvme, crc32c, crc32;
  /// 32 bytes a chunk.
  std::vector<uint8_t> chunks;
  std::vector<uint32_t> block_crcs;
};

/// Lower case.
std::string Hex(const uint8_t* bytes, size_t size);

/// Takes the bytes in order, in pieces of any size.
class Hasher {
 public:
  /// @param algorithms a union of `Algorithm`.
  explicit Hasher(unsigned algorithms);
  ~Hasher();

  void Update(const void* bytes, size_t size);

  /// The hashes of all that was taken; called once, last. Returns false when OpenSSL refused an
  /// algorithm (MD5 where FIPS rules).
  bool Finish(Hashes* hashes);

 private:
  struct FreeContext {
    void operator()(evp_md_ctx_st* context) const;
  };
  using Context = std::unique_ptr<evp_md_ctx_st, FreeContext>;

  void UpdateSlice(const uint8_t* bytes, size_t size);
  void UpdateSha256(const uint8_t* bytes, size_t size);
  void UpdateBlocks(const uint8_t* bytes, size_t size);
  void EndChunk();

  unsigned algorithms_;
  bool ok_ = true;
  uint64_t size_bytes_ = 0;
  /// Where the processor has it; else the first two contexts.
  std::optional<Sha256Pair> pair_;
  Context sha256_, chunk_, md5_, sha1_;
  uint64_t crc64nvme_ = 0;
  uint32_t crc32c_ = 0, crc32_ = 0, block_crc_ = 0;
  std::vector<uint8_t> chunks_;
  std::vector<uint32_t> block_crcs_;
};

}  // namespace refmount
