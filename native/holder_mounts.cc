#include "holder_mounts.h"

#include <fcntl.h>
#include <mntent.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>

#include "device.h"
#include "holder_record.h"
#include "seqpacket.h"

namespace refmount {
namespace {

constexpr size_t kMaxIdBytes = 64;

bool IsId(const std::string& id) {
  return !id.empty() && id.size() <= kMaxIdBytes && std::ranges::all_of(id, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

Result<Fd> MakeState(uint64_t bytes) {
  Fd state(memfd_create("refmount-state", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!state.valid()) return Errno("memfd_create");
  if (ftruncate(state.get(), static_cast<off_t>(bytes)) != 0) return Errno("ftruncate");
  // A mapping of it must never fault because somebody made it shorter.
  if (fcntl(state.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0) return Errno("fcntl");
  return state;
}

/// Whether a mount of ours is at `directory`, asked of the kernel's table: a stat of a mount that
/// nobody serves would wait for ever.
bool IsMounted(const std::string& directory) {
  FILE* table = setmntent("/proc/self/mounts", "re");
  if (table == nullptr) return false;
  bool found = false;
  while (const mntent* entry = getmntent(table)) {
    // The last one at a directory covers those before it.
    if (directory == entry->mnt_dir) found = std::string("fuse.refmount") == entry->mnt_type;
  }
  endmntent(table);
  return found;
}

}  // namespace

Result<size_t> KeptMounts::Adopt(const std::string& id, size_t clones, uint64_t state_bytes,
                                 Fd device, std::string record) {
  if (!IsId(id)) return Failure{EINVAL, "adopt", {}, "an id is 1 to 64 letters, digits, . _ -"};
  if (clones > kMaxClones || state_bytes == 0 || state_bytes > kMaxStateBytes) {
    return Failure{EINVAL, "adopt", {}, "too many clones, or no such size of a state"};
  }
  if (record.size() > kMaxRecordBytes) return Failure{EMSGSIZE, "adopt", {}, "a record too large"};
  if (mounts_.contains(id)) return Failure{EEXIST, "adopt", {}, "this id is kept already"};
  if (mounts_.size() == kMaxKeptMounts) return Failure{EMFILE, "adopt", {}, "too many mounts"};
  Result<Fd> state = MakeState(state_bytes);
  if (!state.ok()) return state.failure();
  KeptMount mount;
  mount.state = std::move(state.value());
  for (size_t i = 0; i < clones; i++) {
    Result<Fd> clone = CloneDevice(device.get());
    // An old kernel has none; the mount works with the one descriptor.
    if (!clone.ok()) break;
    mount.clones.push_back(std::move(clone.value()));
  }
  mount.device = std::move(device);
  mount.record = std::move(record);
  const size_t opened = mount.clones.size();
  mounts_.emplace(id, std::move(mount));
  return opened;
}

const KeptMount* KeptMounts::Find(const std::string& id) const {
  const auto found = mounts_.find(id);
  return found == mounts_.end() ? nullptr : &found->second;
}

void KeptMounts::DetachAll() {
  for (const auto& [id, mount] : mounts_) {
    const std::string directory = DirectoryOfRecord(mount.record);
    if (directory.empty() || !IsMounted(directory)) continue;
    if (auto failure = DetachDevice(directory, true)) {
      fprintf(stderr, "refmount-holder: cannot unmount %s: %s\n", directory.c_str(),
              Describe(*failure).c_str());
    }
  }
  mounts_.clear();
}

}  // namespace refmount
