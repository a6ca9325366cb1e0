// The digests that can be asked for.

#pragma once

namespace refmount {

/// Sets of these are unions. Of a whole object SHA-256 is always computed, asked for or not.
enum Algorithm : unsigned {
  kMd5 = 1 << 0,
  kSha1 = 1 << 1,
  kCrc64Nvme = 1 << 2,
  kCrc32c = 1 << 3,
  kCrc32 = 1 << 4,
  kSha256 = 1 << 5,
};

}  // namespace refmount
