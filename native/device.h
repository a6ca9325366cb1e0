// Getting a FUSE device mounted and unmounted, as root or through fusermount3. Speaks no FUSE. The
// calls block until the kernel or fusermount3 is done.

#pragma once

#include <string>

#include "failure.h"
#include "fd.h"

namespace refmount {

struct AttachOptions {
  /// The source in /proc/self/mountinfo.
  std::string fsname;
  bool allow_other = false;
};

/// Mounts a new device, read-only, at `dir`: by mount(2) as root, else through fusermount3. A
/// failure of fusermount3 carries its words in `detail`.
Result<Fd> AttachDevice(const std::string& dir, const AttachOptions& options);

/// Unmounts `dir`: umount2(2), or fusermount3 where that is not permitted.
/// @param lazy also when it is in use; it goes away for good with its last user.
MaybeFailure DetachDevice(const std::string& dir, bool lazy);

/// A further descriptor of the mount behind `device`, with a request queue of its own.
Result<Fd> CloneDevice(int device);

}  // namespace refmount
