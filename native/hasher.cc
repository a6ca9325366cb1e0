// Cryptographic hashes come from the OpenSSL that the node executable carries and exports; nothing
// is linked. Checksums are ours.

#include "hasher.h"

#include <openssl/evp.h>

#include <algorithm>

#include "cpu.h"
#include "crc.h"

namespace refmount {
namespace {

/// Bytes that go through every algorithm before the next ones: they stay in the first-level cache.
constexpr size_t kSliceBytes = 16 * 1024;

template <class Word>
std::string HexOfWord(Word word) {
  uint8_t bytes[sizeof word];
  for (size_t i = 0; i < sizeof word; i++) {
    bytes[i] = static_cast<uint8_t>(word >> (8 * (sizeof word - 1 - i)));
  }
  return Hex(bytes, sizeof bytes);
}

bool HexOfDigest(EVP_MD_CTX* context, std::string* text) {
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_DigestFinal_ex(context, digest, &size) != 1) return false;
  *text = Hex(digest, size);
  return true;
}

}  // namespace

std::string Hex(const uint8_t* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * size);
  for (size_t i = 0; i < size; i++) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

void Hasher::FreeContext::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Hasher::Hasher(unsigned algorithms) : algorithms_(algorithms) {
  const auto start = [this](Context* context, const EVP_MD* algorithm) {
    context->reset(EVP_MD_CTX_new());
    ok_ = ok_ && *context && EVP_DigestInit_ex(context->get(), algorithm, nullptr) == 1;
  };
  if (HasSha256()) {
    pair_.emplace();
  } else {
    start(&sha256_, EVP_sha256());
  }
  if ((algorithms & kMd5) != 0) start(&md5_, EVP_md5());
  if ((algorithms & kSha1) != 0) start(&sha1_, EVP_sha1());
}

Hasher::~Hasher() = default;

void Hasher::Update(const void* bytes, size_t size) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  while (ok_ && size > 0) {
    const size_t slice = std::min<size_t>(size, kSliceBytes - size_bytes_ % kSliceBytes);
    UpdateSlice(from, slice);
    from += slice;
    size -= slice;
  }
}

/// Invariant: a slice lies within one chunk.
void Hasher::UpdateSlice(const uint8_t* bytes, size_t size) {
  static_assert(kChunkBytes % kSliceBytes == 0 && kSliceBytes % kBlockBytes == 0);
  UpdateSha256(bytes, size);
  if (md5_) ok_ = ok_ && EVP_DigestUpdate(md5_.get(), bytes, size) == 1;
  if (sha1_) ok_ = ok_ && EVP_DigestUpdate(sha1_.get(), bytes, size) == 1;
  if ((algorithms_ & kCrc64Nvme) != 0) crc64nvme_ = Crc64Nvme(crc64nvme_, bytes, size);
  if ((algorithms_ & kCrc32c) != 0) crc32c_ = Crc32c(crc32c_, bytes, size);
  if ((algorithms_ & kCrc32) != 0) crc32_ = Crc32(crc32_, bytes, size);
  UpdateBlocks(bytes, size);
  size_bytes_ += size;
  if (size_bytes_ % kChunkBytes == 0) EndChunk();
}

/// Through the first chunk both digests are the same, so only the whole is computed.
void Hasher::UpdateSha256(const uint8_t* bytes, size_t size) {
  if (pair_) {
    pair_->Update(bytes, size);
    return;
  }
  ok_ = ok_ && EVP_DigestUpdate(sha256_.get(), bytes, size) == 1;
  if (size_bytes_ < kChunkBytes) return;
  if (!chunk_) chunk_.reset(EVP_MD_CTX_new());
  if (size_bytes_ % kChunkBytes == 0) {
    ok_ = ok_ && chunk_ && EVP_DigestInit_ex(chunk_.get(), EVP_sha256(), nullptr) == 1;
  }
  ok_ = ok_ && EVP_DigestUpdate(chunk_.get(), bytes, size) == 1;
}

void Hasher::UpdateBlocks(const uint8_t* bytes, size_t size) {
  size_t in_block = size_bytes_ % kBlockBytes;
  while (size > 0) {
    const size_t part = std::min(size, kBlockBytes - in_block);
    block_crc_ = Crc32c(block_crc_, bytes, part);
    bytes += part;
    size -= part;
    in_block += part;
    if (in_block == kBlockBytes) {
      block_crcs_.push_back(block_crc_);
      block_crc_ = 0;
      in_block = 0;
    }
  }
}

void Hasher::EndChunk() {
  const size_t at = chunks_.size();
  chunks_.resize(at + kSha256Bytes);
  if (pair_) {
    pair_->EndChunk(chunks_.data() + at);
    return;
  }
  Context copy;
  EVP_MD_CTX* ended = chunk_.get();
  if (at == 0) {
    copy.reset(EVP_MD_CTX_new());
    ok_ = ok_ && copy && EVP_MD_CTX_copy_ex(copy.get(), sha256_.get()) == 1;
    ended = copy.get();
  }
  ok_ = ok_ && EVP_DigestFinal_ex(ended, chunks_.data() + at, nullptr) == 1;
}

bool Hasher::Finish(Hashes* hashes) {
  if (ok_ && size_bytes_ % kChunkBytes != 0) EndChunk();
  if (size_bytes_ % kBlockBytes != 0) block_crcs_.push_back(block_crc_);
  if (pair_) {
    uint8_t digest[kSha256Bytes];
    pair_->Finish(digest);
    hashes->sha256 = Hex(digest, sizeof digest);
  } else {
    ok_ = ok_ && HexOfDigest(sha256_.get(), &hashes->sha256);
  }
  if (md5_) ok_ = ok_ && HexOfDigest(md5_.get(), &hashes->md5);
  if (sha1_) ok_ = ok_ && HexOfDigest(sha1_.get(), &hashes->sha1);
  if ((algorithms_ & kCrc64Nvme) != 0) hashes->crc64nvme = HexOfWord(crc64nvme_);
  if ((algorithms_ & kCrc32c) != 0) hashes->crc32c = HexOfWord(crc32c_);
  if ((algorithms_ & kCrc32) != 0) hashes->crc32 = HexOfWord(crc32_);
  hashes->size_bytes = size_bytes_;
  hashes->chunks = std::move(chunks_);
  hashes->block_crcs = std::move(block_crcs_);
  return ok_;
}

}  // namespace refmount
