#include "mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <mutex>
#include <utility>

#include "fd.h"

namespace refmount {
namespace {

/// Mappings the SIGBUS handler knows; one per mount, so this is plenty. A mapping that finds no
/// room here works all the same, unguarded.
constexpr size_t kMaxGuarded = 256;

struct Guarded {
  std::atomic<uintptr_t> start{0};
  std::atomic<uintptr_t> end{0};
};

std::array<Guarded, kMaxGuarded> guarded;
struct sigaction previousAction;
uintptr_t pageBytes = 4096;

void OnBusError(int signal, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (const Guarded& one : guarded) {
    if (address < one.start.load() || address >= one.end.load()) continue;
    // Only async-signal-safe calls here: mmap is a plain system call. The instruction that faulted
    // is run again and finds zeros.
    void* page = reinterpret_cast<void*>(address & ~(pageBytes - 1));
    const int savedErrno = errno;
    const void* zeros =
        mmap(page, pageBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    errno = savedErrno;
    if (zeros == page) return;
  }
  // Not ours: whoever had the signal before gets it when the instruction runs again.
  sigaction(signal, &previousAction, nullptr);
}

void InstallOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    pageBytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = OnBusError;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previousAction);
  });
}

void Guard(const uint8_t* start, size_t size) {
  const auto first = reinterpret_cast<uintptr_t>(start);
  for (Guarded& one : guarded) {
    uintptr_t expected = 0;
    if (!one.start.compare_exchange_strong(expected, first)) continue;
    // Rounded up: the rest of the last page belongs to the mapping too.
    one.end.store((first + size + pageBytes - 1) & ~(pageBytes - 1));
    return;
  }
}

void Unguard(const uint8_t* start) {
  for (Guarded& one : guarded) {
    if (one.start.load() != reinterpret_cast<uintptr_t>(start)) continue;
    one.end.store(0);
    one.start.store(0);
    return;
  }
}

}  // namespace

MappedFile::MappedFile(MappedFile&& other) noexcept
    : start_(std::exchange(other.start_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(start_, other.start_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (start_ == nullptr) return;
  Unguard(start_);
  munmap(const_cast<uint8_t*>(start_), size_);
}

Result<MappedFile> MappedFile::Open(const std::string& path) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Errno("open", path);
  struct stat status;
  if (fstat(file.get(), &status) != 0) return Errno("fstat", path);
  if (!S_ISREG(status.st_mode) || status.st_size <= 0) {
    return Failure{EINVAL, "mmap", path, "not a regular file with bytes in it"};
  }
  const auto size = static_cast<size_t>(status.st_size);
  void* start = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (start == MAP_FAILED) return Errno("mmap", path);
  InstallOnce();
  const auto* bytes = static_cast<const uint8_t*>(start);
  Guard(bytes, size);
  return MappedFile(bytes, size);
}

}  // namespace refmount
