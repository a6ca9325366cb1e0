// Serves one mount: reads requests from the FUSE device, answers from the inode index and from
// checked blobs, parks what has to wait. Knows no JavaScript, fetches nothing, mounts nothing.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "blobs.h"
#include "failure.h"
#include "fd.h"
#include "io_modes.h"
#include "metadata.h"
#include "negotiation.h"
#include "parked.h"
#include "protocol.h"
#include "state.h"
#include "tree.h"
#include "work_queue.h"

namespace refmount {

enum class EndReason { kUnmounted, kStopped, kAborted };

/// What a session asks of its owner. Called from any thread, never with a lock held that the
/// session's own methods need.
class Upcalls {
 public:
  virtual ~Upcalls() = default;
  virtual void OnReady(const Negotiation& agreed, bool resumed) = 0;
  virtual void OnFill(uint64_t node) = 0;
  virtual void OnDamage(uint64_t node, const Digest& blob) = 0;
  /// A name, attribute or listing was refused because the inode index is damaged; said once.
  virtual void OnIndexDamage() {}
  virtual void OnXattr(uint64_t token, uint64_t node, std::string_view name) = 0;
  /// The last call of all.
  virtual void OnEnd(EndReason reason, const std::string& message) = 0;
};

struct SessionConfig {
  /// The mount's own first, then its clones: one reading thread each.
  std::vector<Fd> devices;
  Fd state;
  std::string indexPath;
  Digest manifest{};
  bool passthrough = false;
  Owner owner{};
  size_t maxOpenBlobs = 0;
};

struct SessionCounts {
  uint64_t requests;
  uint64_t reads;
  uint64_t readBytes;
  uint64_t parked;
  uint64_t openBlobs;
  uint64_t damaged;
};

/// All methods are thread-safe and none waits for a disk, but `Provide` opens a file.
class Session {
 public:
  /// Starts the threads. `upcalls` must live until OnEnd and `Join`.
  static Result<std::unique_ptr<Session>> Start(SessionConfig config, Upcalls* upcalls);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Provide(uint64_t node, const BlobSource& source);
  void Fail(uint64_t node, int errorNumber);
  /// Nothing: the attribute does not exist.
  void ReplyXattr(uint64_t token, std::optional<std::span<const uint8_t>> value);
  void Forget(const Digest& blob);
  /// Begins to end the session; OnEnd follows. Parked requests stay with the kernel.
  void Stop();
  /// Waits until every thread is gone: after OnEnd, or after Stop. Not from an upcall's thread.
  void Join();
  SessionCounts Counts();

 private:
  friend struct Dispatch;

  struct Reader {
    Fd device;
    std::thread thread;
    bool finished = false;
  };
  struct XattrWait {
    uint64_t unique;
    uint32_t size;
    uint16_t device;
  };
  /// How far a blob was re-checked before the kernel may read it by itself.
  struct Verification {
    std::shared_ptr<const BlobFile> file;
    uint64_t offset = 0;
  };
  enum class Served { kAnswered, kMissing, kDamaged };

  Session(SessionConfig config, Upcalls* upcalls, Tree tree, SharedState state);

  // session.cc: life and replies
  MaybeFailure Resume();
  void StartThreads();
  void ReadLoop(size_t device);
  void Supervise();
  void End(EndReason reason, std::string message);
  bool Reply(uint16_t device, uint64_t unique, std::span<const uint8_t> payload);
  bool ReplyError(uint16_t device, uint64_t unique, int errorNumber);
  bool Send(uint16_t device, const wire::OutHeader& header, std::span<const uint8_t> payload);
  template <class T>
  bool ReplyStruct(uint16_t device, uint64_t unique, const T& payload) {
    return Reply(device, unique, {reinterpret_cast<const uint8_t*>(&payload), sizeof(payload)});
  }

  // session_requests.cc: one request to its answer
  void Handle(std::span<const uint8_t> bytes, uint16_t device, uint8_t* buffer);
  void Adopt(const Negotiation& agreed);

  // session_reads.cc: whatever may have to wait for a blob
  void ServeOrPark(Pending pending, uint8_t* buffer);
  Served Serve(const Pending& pending, uint8_t* buffer);
  Served ServeRead(const Pending& pending, const Node& node, uint8_t* buffer);
  Served ServeOpen(const Pending& pending, const Node& node);
  void QueueDrain(uint64_t node, Verification verification);
  void Drain(uint64_t node, Verification verification, uint8_t* buffer);
  bool Prepare(uint64_t node, Verification* verification, uint8_t* buffer);
  void SetBack(uint64_t node, const std::vector<Pending>& unserved, bool damaged);
  void DropDamaged(uint64_t node, const BlobFile& file);

  // session_xattrs.cc
  void HandleXattr(uint16_t device, const Request& request, const GetxattrRequest& wanted);
  void HandleXattrNames(uint16_t device, const Request& request, uint32_t size);
  void ReplySized(uint16_t device, uint64_t unique, uint32_t room, std::span<const uint8_t> value);
  bool InterruptXattr(uint64_t unique);

  const SessionConfig config_;
  Upcalls* const upcalls_;
  const Tree tree_;
  SharedState state_;
  BlobTable blobs_;
  ParkedRequests parked_;
  /// Null unless passthrough was negotiated; set before the first request but INIT.
  std::unique_ptr<IoModes> modes_;
  Negotiation agreed_;
  std::mutex initMutex_;
  bool ready_ = false;

  std::mutex failedMutex_;
  std::unordered_set<uint64_t> failedNodes_;

  std::mutex xattrMutex_;
  uint64_t nextToken_ = 1;
  std::unordered_map<uint64_t, XattrWait> xattrWaits_;

  std::mutex lifeMutex_;
  std::condition_variable lifeChanged_;
  std::atomic<bool> ending_{false};
  std::atomic<bool> indexDamaged_{false};
  EndReason endReason_ = EndReason::kStopped;
  std::string endMessage_;
  std::vector<std::unique_ptr<Reader>> readers_;
  std::unique_ptr<WorkQueue> queue_;
  std::thread supervisor_;

  std::atomic<uint64_t> requests_{0};
  std::atomic<uint64_t> reads_{0};
  std::atomic<uint64_t> readBytes_{0};
  std::atomic<uint64_t> damaged_{0};
  std::atomic<uint64_t> refusedReplies_{0};
};

}  // namespace refmount
