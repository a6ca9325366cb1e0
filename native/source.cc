#include "source.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace refmount {
namespace {

constexpr int64_t kNanoseconds = 1'000'000'000;

SourceStatus ToStatus(const struct stat& found) {
  return SourceStatus{
      .mode = found.st_mode,
      .device = found.st_dev,
      .inode = found.st_ino,
      .size_bytes = static_cast<uint64_t>(found.st_size),
      .mtime_ns = found.st_mtim.tv_sec * kNanoseconds + found.st_mtim.tv_nsec,
      .ctime_ns = found.st_ctim.tv_sec * kNanoseconds + found.st_ctim.tv_nsec,
  };
}

}  // namespace

Result<SourceStatus> StatSource(const std::string& path, bool follow) {
  struct stat found;
  if ((follow ? stat(path.c_str(), &found) : lstat(path.c_str(), &found)) != 0) {
    return Errno("stat", path);
  }
  return ToStatus(found);
}

Result<std::string> ReadSourceLink(const std::string& path) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = readlink(path.c_str(), target.data(), target.size());
  if (size < 0 && errno == EINVAL) return std::string();
  if (size < 0) return Errno("readlink", path);
  target.resize(static_cast<size_t>(size));
  return target;
}

Result<OpenSource> OpenSource::Open(const std::string& path, bool follow) {
  // O_NONBLOCK: a named pipe put in the file's place must not wait for a writer.
  const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW);
  OpenSource opened;
  opened.fd.reset(open(path.c_str(), flags));
  if (!opened.fd.valid()) return Errno("open", path);
  struct stat found;
  if (fstat(opened.fd.get(), &found) != 0) return Errno("fstat", path);
  opened.status = ToStatus(found);
  return opened;
}

Result<size_t> ReadSource(int fd, uint8_t* to, size_t size, uint64_t offset) {
  size_t done = 0;
  while (done < size) {
    const ssize_t got = pread(fd, to + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Errno("read");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Result<std::shared_ptr<SourceDirectory>> SourceDirectory::Open(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_DIRECTORY | O_NOFOLLOW));
  if (!fd.valid()) return Errno("opendir", path);
  DIR* const directory = fdopendir(fd.get());
  if (directory == nullptr) return Errno("opendir", path);
  fd.release();
  return std::shared_ptr<SourceDirectory>(new SourceDirectory(directory));
}

Result<std::vector<SourceChild>> SourceDirectory::Next(size_t most) {
  {
    const std::lock_guard lock(mutex_);
    if (busy_ || closed_) return Failure{busy_ ? EBUSY : EBADF, "readdir", {}, {}};
    busy_ = true;
  }
  Result<std::vector<SourceChild>> children = Read(most);
  const std::lock_guard lock(mutex_);
  busy_ = false;
  if (closed_) directory_.reset();
  return children;
}

void SourceDirectory::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  if (!busy_) directory_.reset();
}

Result<std::vector<SourceChild>> SourceDirectory::Read(size_t most) {
  std::vector<SourceChild> children;
  while (children.size() < most) {
    errno = 0;
    const dirent* const found = readdir(directory_.get());
    if (found == nullptr && errno != 0) return Errno("readdir");
    if (found == nullptr) break;
    if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) continue;
    SourceChild child;
    child.name = found->d_name;
    if (found->d_type == DT_DIR) {
      // Not looked at: it may be the mountpoint of another file system, which has its own lane.
      child.status.mode = S_IFDIR;
    } else {
      struct stat status;
      if (fstatat(dirfd(directory_.get()), found->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        child.status = ToStatus(status);
      } else {
        child.error = errno;
      }
    }
    children.push_back(std::move(child));
  }
  return children;
}

}  // namespace refmount
