#include "part_hasher.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "algorithm.h"
#include "crc.h"
#include "hex.h"

namespace refmount {
namespace {

/// One algorithm, begun anew for each part.
class Digest {
 public:
  explicit Digest(unsigned algorithm) : algorithm_(algorithm) {
    if (const EVP_MD* type = Type()) {
      context_ = EVP_MD_CTX_new();
      ok_ = context_ != nullptr && EVP_DigestInit_ex(context_, type, nullptr) == 1;
    }
  }
  ~Digest() { EVP_MD_CTX_free(context_); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  bool Update(const uint8_t* bytes, size_t size) {
    if (algorithm_ == kCrc32c) {
      crc_ = Crc32c(crc_, bytes, size);
    } else if (algorithm_ == kCrc32) {
      crc_ = Crc32(crc_, bytes, size);
    } else {
      ok_ = ok_ && EVP_DigestUpdate(context_, bytes, size) == 1;
    }
    return ok_;
  }

  /// Gives the digest and begins the next one.
  bool End(uint8_t* digest, unsigned* size) {
    if (context_ == nullptr) {
      StoreBigEndian(crc_, digest);
      *size = sizeof crc_;
      crc_ = 0;
      return ok_;
    }
    ok_ = ok_ && EVP_DigestFinal_ex(context_, digest, size) == 1 &&
          EVP_DigestInit_ex(context_, Type(), nullptr) == 1;
    return ok_;
  }

 private:
  const EVP_MD* Type() const {
    switch (algorithm_) {
      case kMd5:
        return EVP_md5();
      case kSha256:
        return EVP_sha256();
      case kSha1:
        return EVP_sha1();
      default:
        return nullptr;
    }
  }

  const unsigned algorithm_;
  bool ok_ = true;
  evp_md_ctx_st* context_ = nullptr;
  uint32_t crc_ = 0;
};

}  // namespace

/// The digest of the current part, and the one over those of all parts before.
class PartHasher::Lane {
 public:
  Lane(unsigned algorithm, std::string Composites::* result)
      : result_(result), part_(algorithm), all_(algorithm) {}

  bool Update(const uint8_t* bytes, size_t size) { return part_.Update(bytes, size); }

  bool EndPart() {
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    return part_.End(digest, &size) && all_.Update(digest, size);
  }

  bool Finish(uint64_t count, Composites* composites) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!all_.End(digest, &size)) return false;
    composites->*result_ = Hex(digest, size) + "-" + std::to_string(count);
    return true;
  }

 private:
  std::string Composites::* const result_;
  Digest part_, all_;
};

PartHasher::PartHasher(unsigned algorithms, PartSizes sizes) : cuts_(std::move(sizes)) {
  static constexpr std::pair<unsigned, std::string Composites::*> kLanes[] = {
      {kMd5, &Composites::md5},
      {kSha256, &Composites::sha256},
      {kSha1, &Composites::sha1},
      {kCrc32c, &Composites::crc32c},
      {kCrc32, &Composites::crc32}};
  for (const auto& [algorithm, result] : kLanes) {
    if ((algorithms & algorithm) != 0) lanes_.push_back(std::make_unique<Lane>(algorithm, result));
  }
}

PartHasher::~PartHasher() = default;

bool PartHasher::Update(const uint8_t* bytes, size_t size) {
  bool ok = true;
  while (ok && size > 0) {
    const auto taken = static_cast<size_t>(std::min<uint64_t>(size, cuts_.left()));
    ok = UpdateLanes(bytes, taken);
    cuts_.Take(taken);
    bytes += taken;
    size -= taken;
    if (cuts_.left() == 0) ok = ok && EndPart();
  }
  return ok;
}

bool PartHasher::Finish(Composites* composites) {
  bool ok = true;
  // Parts may be empty; and of an object that is shorter than its parts were said to be nothing is
  // left.
  while (ok && !cuts_.last()) ok = EndPart();
  for (const auto& lane : lanes_) {
    ok = ok && lane->EndPart() && lane->Finish(cuts_.count(), composites);
  }
  return ok;
}

bool PartHasher::UpdateLanes(const uint8_t* bytes, size_t size) {
  bool ok = true;
  for (const auto& lane : lanes_) ok = lane->Update(bytes, size) && ok;
  return ok;
}

bool PartHasher::EndPart() {
  bool ok = true;
  for (const auto& lane : lanes_) ok = lane->EndPart() && ok;
  cuts_.Next();
  return ok;
}

}  // namespace refmount
