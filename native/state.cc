#include "state.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace refmount {
namespace {

constexpr char kMagic[8] = {'R', 'F', 'M', 'S', 'T', 'A', 'T', '1'};
constexpr uint32_t kVersion = 1;

/// Makes the file at least `size` bytes long; reading beyond its end would be a SIGBUS.
MaybeFailure Lengthen(int fd, size_t size) {
  struct stat status;
  if (fstat(fd, &status) != 0) return Errno("fstat", "state");
  if (status.st_size < static_cast<off_t>(size) && ftruncate(fd, static_cast<off_t>(size)) != 0) {
    return Errno("ftruncate", "state");
  }
  return std::nullopt;
}

}  // namespace

SharedState::SharedState(SharedState&& other) noexcept
    : start_(std::exchange(other.start_, nullptr)),
      modes_(std::exchange(other.modes_, nullptr)),
      modeCount_(std::exchange(other.modeCount_, 0)) {}

SharedState& SharedState::operator=(SharedState&& other) noexcept {
  std::swap(start_, other.start_);
  std::swap(modes_, other.modes_);
  std::swap(modeCount_, other.modeCount_);
  return *this;
}

SharedState::~SharedState() {
  if (start_ != nullptr) munmap(start_, kStateHeaderBytes);
  if (modes_ != nullptr) munmap(modes_, modeCount_ * sizeof(IoMode));
}

Result<SharedState> SharedState::Open(int fd, const Digest& manifest) {
  if (const MaybeFailure failure = Lengthen(fd, kStateHeaderBytes)) return *failure;
  void* start = mmap(nullptr, kStateHeaderBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (start == MAP_FAILED) return Errno("mmap", "state");
  SharedState state;
  state.start_ = static_cast<uint8_t*>(start);
  StateHeader& header = state.header();
  const StateHeader fresh{};
  if (std::memcmp(&header, &fresh, sizeof(fresh)) == 0) {
    header.version = kVersion;
    header.manifest = manifest;
    std::memcpy(header.magic, kMagic, sizeof(kMagic));
    return state;
  }
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 || header.version != kVersion ||
      header.manifest != manifest) {
    return Failure{ESTALE, "state", {}, "the kept state belongs to another mount or version"};
  }
  return state;
}

MaybeFailure SharedState::MapModes(int fd, uint64_t nodeCount) {
  // The header's room is a whole number of pages only where pages are 4 KiB; elsewhere the table
  // starts at the next multiple of 64 KiB, the largest page size in use.
  static_assert(sizeof(IoMode) % 8 == 0);
  const auto pageBytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t offset = pageBytes > kStateHeaderBytes ? size_t{65536} : kStateHeaderBytes;
  const size_t size = (nodeCount + 1) * sizeof(IoMode);
  if (const MaybeFailure failure = Lengthen(fd, offset + size)) return failure;
  void* start =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset));
  if (start == MAP_FAILED) return Errno("mmap", "state");
  modes_ = static_cast<IoMode*>(start);
  modeCount_ = nodeCount + 1;
  return std::nullopt;
}

}  // namespace refmount
