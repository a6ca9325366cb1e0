#include "hash_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <utility>

#include "fd.h"

namespace refmount {

MaybeFailure HashFile(const std::string& path, HashPlan plan,
                      const std::function<void(uint64_t)>& on_progress, Hashes* hashes) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return Errno("open", path);
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return Errno("fstat", path);
  if (S_ISDIR(status.st_mode)) return Failure{EISDIR, "read", path, {}};
  if (!S_ISREG(status.st_mode)) return Failure{EINVAL, "read", path, "not a regular file"};
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);

  constexpr size_t kReadBytes = 256 * 1024;
  const std::unique_ptr<uint8_t[]> buffer(new uint8_t[kReadBytes]);
  Hasher hasher(std::move(plan));
  uint64_t done = 0;
  while (true) {
    const ssize_t got = read(fd.get(), buffer.get(), kReadBytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Errno("read", path);
    if (got == 0) break;
    hasher.Update(buffer.get(), static_cast<size_t>(got));
    const uint64_t before = done;
    done += static_cast<uint64_t>(got);
    if (on_progress && before / kChunkBytes != done / kChunkBytes) on_progress(done);
  }
  if (!hasher.Finish(hashes)) return Failure{ENOTSUP, "hash", path, "OpenSSL refused a digest"};
  return {};
}

}  // namespace refmount
