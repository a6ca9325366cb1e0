#include "holder_worker.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "fd.h"

namespace refmount {
namespace {

/// In the child; gives the errno of what failed.
int BecomeWorker(pid_t holder, std::vector<std::string>* command, const std::string& variable) {
  setpgid(0, 0);
  // SIGTERM, not SIGKILL: the worker has the devices too and can still unmount in order.
  if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return errno;
  if (getppid() != holder) return ECHILD;
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (putenv(const_cast<char*>(variable.c_str())) != 0) return errno;
  std::vector<char*> pointers;
  for (std::string& word : *command) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  execvp(pointers[0], pointers.data());
  return errno;
}

}  // namespace

Result<pid_t> StartWorker(std::vector<std::string> command, const std::string& variable) {
  // Closed by a successful exec; else it carries the errno.
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Errno("pipe2");
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  const pid_t holder = getpid();
  const pid_t pid = fork();
  if (pid < 0) return Errno("fork");
  if (pid == 0) {
    const int number = BecomeWorker(holder, &command, variable);
    [[maybe_unused]] const ssize_t written = write(theirs.get(), &number, sizeof number);
    _exit(127);
  }
  theirs.reset();
  int number = 0;
  ssize_t got;
  while ((got = read(ours.get(), &number, sizeof number)) < 0 && errno == EINTR) {
  }
  if (got != sizeof number) return pid;
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return Failure{number, "execvp", command[0], {}};
}

int64_t RestartPolicy::DelayAfterCrash(int64_t now_ms) {
  if (now_ms - started_ms_ >= kSoundLifeMs) next_delay_ms_ = 0;
  crashes_ms_.push_back(now_ms);
  while (crashes_ms_.front() <= now_ms - kCrashWindowMs) crashes_ms_.pop_front();
  const int64_t delay_ms = next_delay_ms_;
  next_delay_ms_ = std::clamp(2 * delay_ms, kFirstDelayMs, kLongestDelayMs);
  return delay_ms;
}

}  // namespace refmount
