#include "session.h"

#include <poll.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>

namespace refmount {
namespace {

/// The kernel refuses reads with less than 8 KiB; more than that only helps BATCH_FORGET.
constexpr size_t kRequestBytes = 64 << 10;
constexpr size_t kReplyThreads = 2;
/// Between two signals to a thread that may have been about to enter read() at the first.
constexpr std::chrono::milliseconds kSignalInterval{5};

int StopSignal() { return SIGRTMAX - 4; }

void IgnoreSignal(int) {}

/// A handler, so that read() returns EINTR, without SA_RESTART.
void InstallStopSignal() {
  struct sigaction action = {};
  action.sa_handler = IgnoreSignal;
  sigemptyset(&action.sa_mask);
  sigaction(StopSignal(), &action, nullptr);
}

/// Blocks the process's signals in threads started during its life: they are for the main thread.
/// Faults of a thread itself (SIGBUS of a mapped file) stay.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT, SIGTRAP, StopSignal()}) {
      sigdelset(&all, own);
    }
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

Result<std::unique_ptr<Session>> Session::Start(SessionConfig config, Upcalls* upcalls) {
  if (config.devices.empty() || config.devices.size() > UINT16_MAX) {
    return Failure{EINVAL, "startSession", {}, "a session needs at least one device"};
  }
  Result<Tree> tree = Tree::Open(config.indexPath, config.manifest);
  if (!tree.ok()) return tree.failure();
  Result<SharedState> state = SharedState::Open(config.state.get(), config.manifest);
  if (!state.ok()) return state.failure();
  std::unique_ptr<Session> session(
      new Session(std::move(config), upcalls, std::move(tree.value()), std::move(state.value())));
  if (MaybeFailure failure = session->Resume()) return *failure;
  session->StartThreads();
  return session;
}

Session::Session(SessionConfig config, Upcalls* upcalls, Tree tree, SharedState state)
    : config_(std::move(config)),
      upcalls_(upcalls),
      tree_(std::move(tree)),
      state_(std::move(state)),
      blobs_(config_.maxOpenBlobs) {}

Session::~Session() {
  Stop();
  Join();
}

MaybeFailure Session::Resume() {
  StateHeader& header = state_.header();
  header.sessionsStarted++;
  const bool answered = header.initAnswered != 0;
  if (answered ? header.passthrough != 0 : config_.passthrough) {
    if (MaybeFailure failure = state_.MapModes(config_.state.get(), tree_.nodeCount())) {
      return failure;
    }
  }
  if (header.sessionsStarted == 1) return std::nullopt;
  if (answered) {
    Adopt(Negotiation{.minor = header.minor,
                      .flags = header.flags,
                      .maxReadBytes = header.maxReadBytes,
                      .passthrough = header.passthrough != 0});
  }
  // What a predecessor had read and not answered, INIT included, comes again. A kernel without
  // RESEND, or a device that is not mounted yet, refuses this, and nothing is lost by asking.
  const wire::OutHeader resend{sizeof(resend), wire::kNotifyResend, 0};
  [[maybe_unused]] const ssize_t written = write(config_.devices[0].get(), &resend, sizeof(resend));
  return std::nullopt;
}

void Session::Adopt(const Negotiation& agreed) {
  agreed_ = agreed;
  if (agreed.passthrough) {
    modes_ = std::make_unique<IoModes>(&state_, config_.devices[0].get());
  }
}

void Session::StartThreads() {
  InstallStopSignal();
  const BlockedSignals blocked;
  if (state_.header().initAnswered != 0) {
    ready_ = true;
    upcalls_->OnReady(agreed_, true);
  }
  queue_ = std::make_unique<WorkQueue>(kReplyThreads, kReadBufferBytes);
  const std::lock_guard lock(lifeMutex_);
  for (size_t i = 0; i < config_.devices.size(); i++) {
    readers_.push_back(std::make_unique<Reader>());
    readers_[i]->thread = std::thread([this, i] { ReadLoop(i); });
  }
  supervisor_ = std::thread([this] { Supervise(); });
}

void Session::ReadLoop(size_t device) {
  const auto request = std::make_unique_for_overwrite<uint8_t[]>(kRequestBytes);
  const auto buffer = std::make_unique_for_overwrite<uint8_t[]>(kReadBufferBytes);
  const int fd = config_.devices[device].get();
  while (!ending_.load()) {
    const ssize_t got = read(fd, request.get(), kRequestBytes);
    if (got > 0) {
      Handle({request.get(), static_cast<size_t>(got)}, static_cast<uint16_t>(device),
             buffer.get());
      continue;
    }
    // ENOENT: the request was aborted while it was copied.
    if (got < 0 && (errno == EINTR || errno == ENOENT)) continue;
    if (got < 0 && errno == EAGAIN) {
      struct pollfd wait = {fd, POLLIN, 0};
      poll(&wait, 1, -1);
      continue;
    }
    if (got == 0 || errno == ENODEV) {
      End(EndReason::kUnmounted, "the file system was unmounted");
    } else if (errno == ECONNABORTED) {
      End(EndReason::kAborted, "the FUSE connection was aborted");
    } else {
      End(EndReason::kAborted, std::string("reading /dev/fuse failed: ") + std::strerror(errno));
    }
    break;
  }
  const std::lock_guard lock(lifeMutex_);
  readers_[device]->finished = true;
  lifeChanged_.notify_all();
}

void Session::End(EndReason reason, std::string message) {
  const std::lock_guard lock(lifeMutex_);
  if (ending_.load()) return;
  endReason_ = reason;
  endMessage_ = std::move(message);
  ending_.store(true);
  lifeChanged_.notify_all();
}

void Session::Supervise() {
  {
    std::unique_lock lock(lifeMutex_);
    lifeChanged_.wait(lock, [this] { return ending_.load(); });
    const auto allFinished = [this] {
      for (const auto& reader : readers_) {
        if (!reader->finished) return false;
      }
      return true;
    };
    while (!allFinished()) {
      for (const auto& reader : readers_) {
        if (!reader->finished) pthread_kill(reader->thread.native_handle(), StopSignal());
      }
      lifeChanged_.wait_for(lock, kSignalInterval, allFinished);
    }
  }
  for (const auto& reader : readers_) reader->thread.join();
  queue_->Stop();
  parked_.Clear();
  {
    const std::lock_guard lock(xattrMutex_);
    xattrWaits_.clear();
  }
  std::string message = endMessage_;
  if (const uint64_t refused = refusedReplies_.load()) {
    message += "; the kernel refused " + std::to_string(refused) + " replies, which is a bug here";
  }
  upcalls_->OnEnd(endReason_, message);
}

void Session::Stop() { End(EndReason::kStopped, "the session was stopped"); }

void Session::Join() {
  if (supervisor_.joinable()) supervisor_.join();
}

bool Session::Send(uint16_t device, const wire::OutHeader& header,
                   std::span<const uint8_t> payload) {
  // A write to /dev/fuse is all or nothing, so there is no short-write loop.
  const struct iovec parts[2] = {{const_cast<wire::OutHeader*>(&header), sizeof(header)},
                                 {const_cast<uint8_t*>(payload.data()), payload.size()}};
  ssize_t written;
  do {
    written = writev(config_.devices[device].get(), parts, payload.empty() ? 1 : 2);
  } while (written < 0 && errno == EINTR);
  return written >= 0;
}

bool Session::Reply(uint16_t device, uint64_t unique, std::span<const uint8_t> payload) {
  if (Send(device, EncodeHeader(unique, 0, payload.size()), payload)) return true;
  // ENOENT: nobody waits any more. ENODEV: the mount is gone, which the reading threads notice.
  if (errno == ENOENT || errno == ENODEV) return false;
  refusedReplies_++;
  ReplyError(device, unique, EIO);
  return false;
}

bool Session::ReplyError(uint16_t device, uint64_t unique, int errorNumber) {
  return Send(device, EncodeHeader(unique, errorNumber, 0), {});
}

SessionCounts Session::Counts() {
  uint64_t xattrs;
  {
    const std::lock_guard lock(xattrMutex_);
    xattrs = xattrWaits_.size();
  }
  return {.requests = requests_.load(),
          .reads = reads_.load(),
          .readBytes = readBytes_.load(),
          .parked = parked_.size() + xattrs,
          .openBlobs = blobs_.openCount(),
          .damaged = damaged_.load()};
}

}  // namespace refmount
