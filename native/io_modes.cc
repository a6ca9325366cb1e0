#include "io_modes.h"

#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "wire.h"

namespace refmount {
namespace {

/// Capabilities count for passthrough in the first user namespace only, which maps all ids.
bool InFirstUserNamespace() {
  std::FILE* map = std::fopen("/proc/self/uid_map", "re");
  if (map == nullptr) return true;  // a kernel without user namespaces
  unsigned long inside = 1, outside = 1, count = 0;
  const int fields = std::fscanf(map, "%lu %lu %lu", &inside, &outside, &count);
  std::fclose(map);
  return fields == 3 && inside == 0 && outside == 0 && count == UINT32_MAX;
}

/// The next process must find the stores before a system call as done, in this order; this one's
/// death keeps memory as it is, so only the compiler has to be held back.
void Settle() { std::atomic_signal_fence(std::memory_order_seq_cst); }

uint64_t Plain(uint64_t unique) { return unique & ~wire::kResent; }

}  // namespace

bool CanPassthrough() {
  struct utsname name;
  unsigned major = 0, minor = 0;
  if (uname(&name) != 0 || std::sscanf(name.release, "%u.%u", &major, &minor) != 2) return false;
  if (major < 6 || (major == 6 && minor < 9)) return false;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, sets) != 0) return false;
  return (sets[0].effective & (1u << CAP_SYS_ADMIN)) != 0 && InFirstUserNamespace();
}

IoModes::IoModes(SharedState* state, int device)
    : state_(state), device_(device), refused_(state->modeCount()) {
  StateHeader& header = state_->header();
  if (header.journalUnique != 0 && Valid(header.journalNode)) {
    state_->modes()[header.journalNode].openCount = header.journalOpenCount;
    countedUnique_ = header.journalUnique;
  }
  header.journalUnique = 0;
  // A fresh table is all holes: reading it would only fill it.
  const uint64_t used = header.sessionsStarted > 1 ? state_->modeCount() : 0;
  for (uint64_t node = 1; node < used; node++) {
    const IoMode& mode = state_->modes()[node];
    if (mode.backingId != 0) backedNodes_.emplace(mode.blob, node);
    if (mode.openCount > 0 && mode.backingId == 0) refused_[node] = true;
  }
}

bool IoModes::CountedBefore(uint64_t unique) const {
  return countedUnique_ != 0 && countedUnique_ == Plain(unique);
}

void IoModes::Journal(uint64_t unique, uint64_t node, uint32_t openCount) {
  StateHeader& header = state_->header();
  header.journalNode = static_cast<uint32_t>(node);
  header.journalOpenCount = openCount;
  Settle();
  header.journalUnique = Plain(unique);
  Settle();
  state_->modes()[node].openCount = openCount;
  Settle();
}

bool IoModes::Settled(uint64_t node) {
  const std::lock_guard lock(mutex_);
  return !Valid(node) || refused_[node] || state_->modes()[node].backingId != 0;
}

bool IoModes::Backed(uint64_t node) {
  const std::lock_guard lock(mutex_);
  return Valid(node) && state_->modes()[node].backingId != 0;
}

bool IoModes::Open(uint64_t node, uint64_t unique, const SendOpen& send) {
  const std::lock_guard lock(mutex_);
  if (!Valid(node)) return false;
  IoMode& mode = state_->modes()[node];
  if (mode.backingId == 0 && !refused_[node]) return false;
  if (!CountedBefore(unique)) Journal(unique, node, mode.openCount + 1);
  // KEEP_CACHE on a passthrough open is an error to the kernel.
  const bool sent = mode.backingId != 0
                        ? send(wire::kFopenPassthrough, static_cast<int32_t>(mode.backingId))
                        : send(wire::kFopenKeepCache, 0);
  if (!sent && mode.openCount > 0) mode.openCount--;
  if (!sent && mode.openCount == 0 && mode.doomed != 0) CloseBacking(mode);
  Settle();
  state_->header().journalUnique = 0;
  return true;
}

void IoModes::Release(uint64_t node, uint64_t unique, const Send& send) {
  const std::lock_guard lock(mutex_);
  if (Valid(node)) {
    IoMode& mode = state_->modes()[node];
    if (mode.openCount > 0 && !CountedBefore(unique)) Journal(unique, node, mode.openCount - 1);
    if (mode.openCount == 0 && mode.doomed != 0) CloseBacking(mode);
  }
  send();
  Settle();
  state_->header().journalUnique = 0;
}

void IoModes::Back(uint64_t node, int blobFd, const Digest& blob) {
  const std::lock_guard lock(mutex_);
  if (!Valid(node)) return;
  IoMode& mode = state_->modes()[node];
  if (mode.backingId != 0 || refused_[node]) return;
  wire::BackingMap map{blobFd, 0, 0};
  const int id = ioctl(device_, wire::kIocBackingOpen, &map);
  if (id <= 0) {
    refused_[node] = true;
    return;
  }
  mode.blob = blob;
  mode.doomed = 0;
  mode.backingId = static_cast<uint32_t>(id);
  backedNodes_.emplace(blob, node);
}

void IoModes::Refuse(uint64_t node) {
  const std::lock_guard lock(mutex_);
  if (Valid(node) && state_->modes()[node].backingId == 0) refused_[node] = true;
}

void IoModes::Doom(uint64_t node) {
  const std::lock_guard lock(mutex_);
  if (Valid(node) && state_->modes()[node].backingId != 0) state_->modes()[node].doomed = 1;
}

void IoModes::CloseUnused(uint64_t node) {
  const std::lock_guard lock(mutex_);
  if (!Valid(node)) return;
  IoMode& mode = state_->modes()[node];
  if (mode.openCount == 0 && mode.doomed != 0) CloseBacking(mode);
}

void IoModes::Forget(const Digest& blob) {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = backedNodes_.equal_range(blob);
  std::vector<uint64_t> nodes;
  for (auto it = first; it != last; ++it) nodes.push_back(it->second);
  for (const uint64_t node : nodes) {
    IoMode& mode = state_->modes()[node];
    mode.doomed = 1;
    if (mode.openCount == 0) CloseBacking(mode);
  }
}

void IoModes::CloseBacking(IoMode& mode) {
  const auto node = static_cast<uint64_t>(&mode - state_->modes());
  auto [it, last] = backedNodes_.equal_range(mode.blob);
  while (it != last) it = it->second == node ? backedNodes_.erase(it) : std::next(it);
  uint32_t id = mode.backingId;
  // The id is cleared first: to forget an id that is open costs disk space until the unmount, to
  // use one that is closed costs a reader an error.
  mode.backingId = 0;
  mode.doomed = 0;
  Settle();
  ioctl(device_, wire::kIocBackingClose, &id);
}

}  // namespace refmount
