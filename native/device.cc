#include "device.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "fusermount.h"

namespace refmount {
namespace {

constexpr char kDevicePath[] = "/dev/fuse";
/// FUSE_DEV_IOC_CLONE; not in the headers of every distribution.
constexpr unsigned long kIoctlClone = _IOR(229, 0, uint32_t);

Result<Fd> OpenDevice() {
  Fd device(open(kDevicePath, O_RDWR | O_CLOEXEC));
  if (!device.valid()) return Errno("open", kDevicePath);
  return device;
}

Result<Fd> AttachAsRoot(const std::string& dir, const AttachOptions& options) {
  Result<Fd> device = OpenDevice();
  if (!device.ok()) return device;
  std::string text = "fd=" + std::to_string(device.value().get()) +
                     ",rootmode=40000,user_id=" + std::to_string(geteuid()) +
                     ",group_id=" + std::to_string(getegid()) + ",default_permissions";
  if (options.allow_other) text += ",allow_other";
  if (mount(options.fsname.c_str(), dir.c_str(), "fuse.refmount", MS_RDONLY | MS_NOSUID | MS_NODEV,
            text.c_str()) != 0) {
    return Errno("mount", dir);
  }
  return device;
}

}  // namespace

Result<Fd> AttachDevice(const std::string& dir, const AttachOptions& options) {
  if (geteuid() == 0) return AttachAsRoot(dir, options);
  return FusermountAttach(dir, options.fsname, options.allow_other);
}

MaybeFailure DetachDevice(const std::string& dir, bool lazy) {
  if (umount2(dir.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) return {};
  const Failure failure = Errno("umount", dir);
  if (failure.number != EPERM || geteuid() == 0) return failure;
  return FusermountDetach(dir, lazy);
}

Result<Fd> CloneDevice(int device) {
  Result<Fd> clone = OpenDevice();
  if (!clone.ok()) return clone;
  uint32_t source = static_cast<uint32_t>(device);
  if (ioctl(clone.value().get(), kIoctlClone, &source) != 0) return Errno("ioctl", kDevicePath);
  return clone;
}

}  // namespace refmount
