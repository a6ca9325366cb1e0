// The state of a session that outlives its process: a memfd kept by the holder. Holds what the
// kernel was told and cannot be asked again (the INIT reply, the io mode of every open inode).
//
// Layout: one StateHeader in the first kStateHeaderBytes, then, for passthrough sessions only, one
// IoMode per node id, from id 0 on (unused). A fresh memfd is all zeros; the session lengthens it
// as needed, so its maker may choose any size. Only one session at a time has it mapped.

#pragma once

#include <cstddef>
#include <cstdint>

#include "failure.h"
#include "tree.h"

namespace refmount {

constexpr size_t kStateHeaderBytes = 4096;

struct StateHeader {
  char magic[8];
  uint32_t version;
  /// Sessions that were started on this state; more than one means that requests may have to be
  /// sent again by the kernel.
  uint32_t sessionsStarted;
  Digest manifest;
  /// 1 from the moment before the INIT reply is written.
  uint32_t initAnswered;
  /// Minor version of the protocol as negotiated.
  uint32_t minor;
  /// INIT flags as negotiated.
  uint64_t flags;
  uint32_t maxReadBytes;
  /// 1 when the session opens files in passthrough mode.
  uint32_t passthrough;
  // The change of an open count that is under way. A worker may die after the count was changed and
  // before the kernel has the reply; the kernel then sends the request again, and it must not be
  // counted twice. `journalUnique` is written last and cleared first; 0 means none.
  uint64_t journalUnique;
  uint32_t journalNode;
  uint32_t journalOpenCount;
};
static_assert(sizeof(StateHeader) <= kStateHeaderBytes);

/// How the kernel has an inode open. Passthrough handles and cached handles of one inode, or two
/// backing files, must never meet: the kernel answers EIO.
struct IoMode {
  uint32_t openCount;
  /// Of FUSE_DEV_IOC_BACKING_OPEN; 0 when the inode has none.
  uint32_t backingId;
  /// 1: the backing file is to be closed with the last handle, its blob is being evicted.
  uint32_t doomed;
  uint32_t reserved;
  /// Name of the blob behind `backingId`.
  Digest blob;
};
static_assert(sizeof(IoMode) == 48);

/// The mapped state of one session.
class SharedState {
 public:
  SharedState() = default;
  SharedState(SharedState&& other) noexcept;
  SharedState& operator=(SharedState&& other) noexcept;
  SharedState(const SharedState&) = delete;
  SharedState& operator=(const SharedState&) = delete;
  ~SharedState();

  /// Maps `fd`, which the caller keeps, and makes the header when the state is fresh. The state of
  /// another manifest or version is a failure with ESTALE.
  static Result<SharedState> Open(int fd, const Digest& manifest);
  /// Maps the table of io modes too. Needed before `modes` and only in passthrough sessions.
  MaybeFailure MapModes(int fd, uint64_t nodeCount);

  StateHeader& header() { return *reinterpret_cast<StateHeader*>(start_); }
  /// nodeCount() + 1 entries.
  IoMode* modes() { return modes_; }
  uint64_t modeCount() const { return modeCount_; }

 private:
  uint8_t* start_ = nullptr;
  IoMode* modes_ = nullptr;
  uint64_t modeCount_ = 0;
};

}  // namespace refmount
