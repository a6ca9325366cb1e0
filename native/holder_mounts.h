// The mounts that a holder keeps: descriptors, shared state, and a record that it never looks into
// but for the directory.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "failure.h"
#include "fd.h"

namespace refmount {

constexpr size_t kMaxKeptMounts = 1024;
constexpr size_t kMaxClones = 64;
constexpr uint64_t kMaxStateBytes = uint64_t{1} << 36;

struct KeptMount {
  Fd device;
  /// Further descriptors of the same mount. They must not be a worker's own: a request that was
  /// read through a descriptor that dies with its worker is lost.
  std::vector<Fd> clones;
  /// A memfd, zero-filled at first, that cannot shrink.
  Fd state;
  std::string record;
};

class KeptMounts {
 public:
  /// Keeps `device`, with up to `clones` further descriptors (fewer where the kernel gives no more)
  /// and a new state of `state_bytes`. EEXIST, EINVAL, EMFILE and what the system calls give.
  Result<size_t> Adopt(const std::string& id, size_t clones, uint64_t state_bytes, Fd device,
                       std::string record);

  /// Null when there is none.
  const KeptMount* Find(const std::string& id) const;

  /// False when there is none.
  bool Drop(const std::string& id) { return mounts_.erase(id) != 0; }

  /// Unmounts lazily whatever is still mounted, and forgets everything. For the end, when nobody
  /// serves the mounts any more: a reader would wait for ever, or find "not connected".
  void DetachAll();

  bool empty() const { return mounts_.empty(); }
  const std::map<std::string, KeptMount>& all() const { return mounts_; }

 private:
  std::map<std::string, KeptMount> mounts_;
};

}  // namespace refmount
