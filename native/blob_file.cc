#include "blob_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "crc.h"

namespace refmount {
namespace {

/// CRCs looked at in one step.
constexpr size_t kCrcBatch = 512;

bool ReadFully(int fd, uint8_t* out, size_t length, uint64_t offset) {
  while (length > 0) {
    const ssize_t got = pread(fd, out, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out += got;
    length -= static_cast<size_t>(got);
    offset += static_cast<uint64_t>(got);
  }
  return true;
}

Result<Fd> OpenSized(const std::string& path, uint64_t sizeBytes) {
  Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) return Errno("open", path);
  struct stat status;
  if (fstat(file.get(), &status) != 0) return Errno("fstat", path);
  if (!S_ISREG(status.st_mode) || static_cast<uint64_t>(status.st_size) != sizeBytes) {
    return Failure{EIO, "open", path, "not a file of the expected size"};
  }
  return file;
}

}  // namespace

Result<std::shared_ptr<const BlobFile>> BlobFile::Open(const std::string& path, const Digest& name,
                                                       uint64_t sizeBytes, BlockCrcs crcs) {
  Result<Fd> file = OpenSized(path, sizeBytes);
  if (!file.ok()) return file.failure();
  std::shared_ptr<BlobFile> blob(new BlobFile);
  if (crcs == nullptr) {
    // Read, not mapped: a truncated map would raise SIGBUS, and there may be thousands of these.
    const uint64_t blocks = (sizeBytes + kBlockBytes - 1) / kBlockBytes;
    Result<Fd> crcFile = OpenSized(path + ".crc", blocks * sizeof(uint32_t));
    if (!crcFile.ok()) return crcFile.failure();
    blob->crcFile_ = std::move(crcFile.value());
  }
  blob->name_ = name;
  blob->sizeBytes_ = sizeBytes;
  blob->file_ = std::move(file.value());
  blob->crcs_ = std::move(crcs);
  return std::shared_ptr<const BlobFile>(std::move(blob));
}

std::span<const uint8_t> BlobFile::Read(uint64_t offset, uint32_t length, uint8_t* buffer) const {
  if (length == 0 || length > kMaxReadBytes || offset >= sizeBytes_ ||
      length > sizeBytes_ - offset) {
    return {};
  }
  const uint64_t first = offset / kBlockBytes * kBlockBytes;
  const uint64_t end =
      std::min((offset + length + kBlockBytes - 1) / kBlockBytes * kBlockBytes, sizeBytes_);
  const auto size = static_cast<size_t>(end - first);
  if (!ReadFully(file_.get(), buffer, size, first)) return {};
  if (!Matches(first / kBlockBytes, {buffer, size})) return {};
  return {buffer + (offset - first), length};
}

bool BlobFile::Matches(uint64_t firstBlock, std::span<const uint8_t> bytes) const {
  uint32_t batch[kCrcBatch];
  while (!bytes.empty()) {
    const size_t span = std::min(bytes.size(), kCrcBatch * kBlockBytes);
    const size_t blocks = (span + kBlockBytes - 1) / kBlockBytes;
    const uint32_t* expected = crcs_.get() + firstBlock;
    if (crcs_ == nullptr) {
      if (!ReadFully(crcFile_.get(), reinterpret_cast<uint8_t*>(batch), blocks * sizeof(uint32_t),
                     firstBlock * sizeof(uint32_t))) {
        return false;
      }
      expected = batch;
    }
    for (size_t i = 0; i < blocks; i++) {
      const auto block = bytes.subspan(
          i * kBlockBytes, std::min(bytes.size() - i * kBlockBytes, size_t{kBlockBytes}));
      if (Crc32c(0, block.data(), block.size()) != expected[i]) return false;
    }
    firstBlock += blocks;
    bytes = bytes.subspan(span);
  }
  return true;
}

bool BlobFile::Verify(uint64_t offset, uint64_t length, uint8_t* buffer) const {
  const uint64_t end = offset + std::min(length, sizeBytes_ - std::min(offset, sizeBytes_));
  while (offset < end) {
    const auto step = static_cast<uint32_t>(std::min<uint64_t>(end - offset, kMaxReadBytes));
    if (Read(offset, step, buffer).empty()) return false;
    offset += step;
  }
  return true;
}

}  // namespace refmount
