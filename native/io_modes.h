// How each inode of a passthrough session is open: backing files, open counts, and which of the two
// kinds of handle an inode may get. Its truth is the shared state, so it survives the process.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "state.h"

namespace refmount {

/// True when this process may set up passthrough: the kernel has it (6.9) and CAP_SYS_ADMIN is held
/// in the first user namespace. The INIT reply of a device may still say no.
bool CanPassthrough();

class IoModes {
 public:
  /// Sends an OPEN or RELEASE reply; false when the kernel no longer waits for it.
  using SendOpen = std::function<bool(uint32_t openFlags, int32_t backingId)>;
  using Send = std::function<bool()>;

  /// Both must outlive this. Settles what a predecessor left half done.
  IoModes(SharedState* state, int device);

  /// Whether an OPEN of the node can be answered without a blob.
  bool Settled(uint64_t node);
  /// Counts and answers an OPEN; false when the node needs `Back` or `Refuse` first.
  bool Open(uint64_t node, uint64_t unique, const SendOpen& send);
  void Release(uint64_t node, uint64_t unique, const Send& send);

  /// Registers the descriptor of a complete, checked blob with the kernel. When the kernel
  /// declines, the node is refused.
  void Back(uint64_t node, int blobFd, const Digest& blob);
  /// Files of this node are opened through the page cache from now on.
  void Refuse(uint64_t node);

  /// The node's backing file is to be closed with the last handle on it.
  void Doom(uint64_t node);
  /// Closes a doomed backing file that nobody has open.
  void CloseUnused(uint64_t node);
  /// Closes the backing files of this blob, each with the last handle on it.
  void Forget(const Digest& blob);
  bool Backed(uint64_t node);

 private:
  bool Valid(uint64_t node) const { return node > 0 && node < state_->modeCount(); }
  bool CountedBefore(uint64_t unique) const;
  void Journal(uint64_t unique, uint64_t node, uint32_t openCount);
  void CloseBacking(IoMode& mode);

  SharedState* state_;
  int device_;
  std::mutex mutex_;
  /// Of a change that a predecessor had counted; uniques are never used again.
  uint64_t countedUnique_ = 0;
  std::vector<bool> refused_;
  std::multimap<Digest, uint64_t> backedNodes_;
};

}  // namespace refmount
