// Blocking calls on files that are not ours: what is logged and fetched from, on any file system.
// Called on the threads of a lane only, since a dead server may keep any of them for ever.

#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "failure.h"
#include "fd.h"

namespace refmount {

/// What stat(2) tells.
struct SourceStatus {
  mode_t mode = 0;
  uint64_t device = 0, inode = 0;
  uint64_t size_bytes = 0;
  int64_t mtime_ns = 0, ctime_ns = 0;

  /// Equal when nobody wrote to the file in between: the change time tells also of a write that put
  /// the modification time back.
  bool operator==(const SourceStatus&) const = default;
};

Result<SourceStatus> StatSource(const std::string& path, bool follow);

/// The text of a symbolic link; empty for anything else that exists.
Result<std::string> ReadSourceLink(const std::string& path);

struct OpenSource {
  Fd fd;
  SourceStatus status;

  /// @param follow false: a symbolic link is ELOOP.
  static Result<OpenSource> Open(const std::string& path, bool follow);
};

/// Reads until `size` bytes are there or the file ends; gives how many.
Result<size_t> ReadSource(int fd, uint8_t* to, size_t size, uint64_t offset);

struct SourceChild {
  std::string name;
  /// Of lstat(2), which is left out for a directory; 0: `status` holds.
  int error = 0;
  SourceStatus status;
};

/// A directory being read.
class SourceDirectory {
 public:
  /// A symbolic link is ELOOP or ENOTDIR.
  static Result<std::shared_ptr<SourceDirectory>> Open(const std::string& path);

  /// The next children, up to `most`; none at the end. EBUSY while another thread is at it.
  Result<std::vector<SourceChild>> Next(size_t most);
  /// Does not wait for a `Next` that a dead server keeps: that one closes it, once it is let go.
  void Close();

 private:
  struct CloseDirectory {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  explicit SourceDirectory(DIR* directory) : directory_(directory) {}
  Result<std::vector<SourceChild>> Read(size_t most);

  std::mutex mutex_;
  bool busy_ = false, closed_ = false;
  std::unique_ptr<DIR, CloseDirectory> directory_;
};

}  // namespace refmount
