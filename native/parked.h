// Requests that wait for the bytes of their node, and the signals that end them. Sends nothing and
// calls nobody: it only says who has to act next.

#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

namespace refmount {

/// A request without its bytes: nothing of it is held but these fields.
struct Pending {
  enum Kind : uint8_t { kRead, kOpen, kGetattr };
  Kind kind;
  /// How often this request met a damaged blob.
  uint8_t timesDamaged = 0;
  /// Index of the device that it was read from: only there it can be answered.
  uint16_t device;
  uint32_t size = 0;
  uint64_t unique;
  uint64_t node;
  uint64_t offset = 0;
};

/// Thread-safe. A node is either not listed, or `waiting` for its blob (one upcall is out), or
/// `draining` (a worker is answering its requests).
class ParkedRequests {
 public:
  /// What the caller of Park has to do.
  enum class Next {
    /// Nothing: the request is parked.
    kParked,
    /// Parked; make the upcall for this node.
    kAskForBlob,
    /// Parked; have a worker drain this node.
    kDrain,
    /// Not parked: try to serve it again.
    kTryAgain,
    /// Not parked: its caller got a signal before.
    kInterrupted,
  };
  enum class Found { kNothing, kEnough, kBlobToPrepare };

  /// Parks a request. `look` is called under the lock when nobody works on the node yet: whatever
  /// it needs may have arrived since the caller looked.
  Next Park(const Pending& request, const std::function<Found()>& look);

  /// The blob is there: true when the node had been waiting and is draining now.
  bool BeginDrain(uint64_t node);
  /// True when an OPEN is among the node's requests.
  bool HasOpen(uint64_t node);
  struct Batch {
    std::vector<Pending> requests;
    /// Nobody waits for the node any more, and it is no longer listed.
    bool done;
  };
  /// Takes at most `limit` requests of a draining node; OPENs stay while `opensToo` is false.
  Batch TakeBatch(uint64_t node, size_t limit, bool opensToo);
  struct Setback {
    /// Requests that met a damaged blob for the second time.
    std::vector<Pending> hopeless;
    /// Requests whose callers got a signal while they were being served.
    std::vector<Pending> interrupted;
    /// Others wait for the node: an upcall is due.
    bool ask;
  };
  /// The blob of a draining node was missing or `damaged`: its requests wait again, `unserved`
  /// first.
  Setback WaitAgain(uint64_t node, const std::vector<Pending>& unserved, bool damaged);
  /// Takes all requests of a node and forgets it.
  std::vector<Pending> TakeAll(uint64_t node);
  /// A signal for the caller of `unique`: the parked request, or nothing. A request that is still
  /// on its way here is remembered.
  std::optional<Pending> Interrupt(uint64_t unique);
  /// Requests that stay with the kernel for the next session.
  void Clear();
  size_t size();

 private:
  struct Wait {
    bool draining = false;
    std::vector<Pending> requests;
  };
  void Forget(const std::vector<Pending>& requests);
  bool TakeEarlySignal(uint64_t unique);

  std::mutex mutex_;
  std::unordered_map<uint64_t, Wait> waits_;
  std::unordered_map<uint64_t, uint64_t> nodeOfUnique_;
  std::deque<uint64_t> earlySignals_;
};

}  // namespace refmount
