// The worker process of a holder: starting it, and when to start it again. Waits for nothing.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "failure.h"

namespace refmount {

/// Exit code by which a worker asks to be started again at once, as for an upgrade.
constexpr int kRestartExitCode = 75;

/// Exit codes of expected failures (src/model/fault.ts): no crash.
constexpr bool IsFaultExitCode(int code) { return code >= 2 && code <= 9; }

/// Starts `command` as a child in a process group of its own (so that a terminal's signals reach it
/// only through the holder), with `variable` in its environment and the standard streams of the
/// caller. Gets SIGTERM when the caller dies.
Result<pid_t> StartWorker(std::vector<std::string> command, const std::string& variable);

/// Decides when a worker that ended is started again. Times are monotonic milliseconds.
class RestartPolicy {
 public:
  void Started(int64_t now_ms) { started_ms_ = now_ms; }

  /// A worker ended that should not have: how long to wait before the next one.
  int64_t DelayAfterCrash(int64_t now_ms);

  /// Too many in a short time: with nothing to lose it is better to say so than to go on.
  bool Hopeless() const { return crashes_ms_.size() > kMaxCrashes; }

 private:
  static constexpr size_t kMaxCrashes = 10;
  static constexpr int64_t kCrashWindowMs = 60'000;
  static constexpr int64_t kSoundLifeMs = 10'000;
  static constexpr int64_t kFirstDelayMs = 100;
  static constexpr int64_t kLongestDelayMs = 5'000;

  int64_t started_ms_ = 0;
  int64_t next_delay_ms_ = 0;
  std::deque<int64_t> crashes_ms_;
};

}  // namespace refmount
