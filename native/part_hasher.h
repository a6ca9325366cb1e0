// The digest over the digests of an object's parts: what S3 calls a multipart ETag or a composite
// checksum. No I/O.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "part_cuts.h"

struct evp_md_ctx_st;

namespace refmount {

/// Lower-case hex, "-" and the number of parts; empty where not asked for.
struct Composites {
  std::string md5, sha256, sha1, crc32c, crc32;
};

/// Takes the bytes in order, in pieces of any size.
class PartHasher {
 public:
  /// @param algorithms a union of `Algorithm`; CRC-64/NVME has no composites and is left out.
  PartHasher(unsigned algorithms, PartSizes sizes);
  ~PartHasher();

  /// False when OpenSSL refused an algorithm.
  bool Update(const uint8_t* bytes, size_t size);

  /// Called once, last. False when OpenSSL refused an algorithm.
  bool Finish(Composites* composites);

 private:
  class Lane;

  bool UpdateLanes(const uint8_t* bytes, size_t size);
  bool EndPart();

  PartCuts cuts_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace refmount
