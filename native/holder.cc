// refmount-holder: keeps the devices of mounts, starts the process that serves them, and starts it
// again when it ends. It reads no request of the kernel and no file; it has to outlive all that can
// go wrong in the worker.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <list>

#include "holder_options.h"
#include "holder_requests.h"
#include "holder_worker.h"
#include "seqpacket.h"

namespace refmount {
namespace {

constexpr size_t kMaxClients = 64;
/// What a worker gets to unmount in order.
constexpr int64_t kOrderlyEndMs = 30'000;
constexpr int64_t kNever = -1;
/// What a program ended by a signal adds to its number.
constexpr int kSignalExitCode = 128;

int64_t NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

class Holder {
 public:
  Holder(HolderOptions options, Fd signals, Fd listener)
      : options_(std::move(options)),
        variable_("REFMOUNT_HOLDER=" + options_.socket_path),
        signals_(std::move(signals)),
        listener_(std::move(listener)) {}

  /// Runs until the end; gives the exit code.
  int Run() {
    if (MaybeFailure failure = AdoptInherited()) return Fail(*failure);
    // A command that cannot be started at all will not get better.
    if (MaybeFailure failure = Start()) return Fail(*failure);
    while (exit_code_ < 0) Step();
    state_.mounts.DetachAll();
    unlink(options_.socket_path.c_str());
    return exit_code_;
  }

 private:
  int Fail(const Failure& failure) {
    fprintf(stderr, "refmount-holder: %s\n", Describe(failure).c_str());
    state_.mounts.DetachAll();
    unlink(options_.socket_path.c_str());
    return 1;
  }

  MaybeFailure AdoptInherited() {
    for (InheritedMount& mount : options_.inherited) {
      Result<size_t> opened = state_.mounts.Adopt(mount.id, mount.clones, mount.state_bytes,
                                                  std::move(mount.device), std::move(mount.record));
      if (!opened.ok()) return opened.failure();
    }
    return {};
  }

  MaybeFailure Start() {
    restart_at_ms_ = kNever;
    state_.restart = false;
    policy_.Started(NowMs());
    Result<pid_t> started = StartWorker(options_.command, variable_);
    if (!started.ok()) return started.failure();
    state_.worker_pid = started.value();
    return {};
  }

  void Step() {
    std::vector<pollfd> ready = {{signals_.get(), POLLIN, 0}};
    // At the limit new clients wait in the backlog.
    ready.push_back({clients_.size() < kMaxClients ? listener_.get() : -1, POLLIN, 0});
    for (const Fd& client : clients_) ready.push_back({client.get(), POLLIN, 0});
    if (poll(ready.data(), ready.size(), TimeoutMs()) < 0 && errno != EINTR) {
      fprintf(stderr, "refmount-holder: %s\n", Describe(Errno("poll")).c_str());
      exit_code_ = 1;
      return;
    }
    size_t at = 2;
    for (auto client = clients_.begin(); client != clients_.end(); at++) {
      const bool keep = ready[at].revents == 0 || Serve(client->get());
      client = keep ? std::next(client) : clients_.erase(client);
    }
    if (ready[1].revents != 0) Accept();
    if (ready[0].revents != 0) TakeSignals();
    CheckTimes();
  }

  int TimeoutMs() const {
    int64_t due_ms = restart_at_ms_;
    if (kill_at_ms_ != kNever && (due_ms == kNever || kill_at_ms_ < due_ms)) due_ms = kill_at_ms_;
    if (due_ms == kNever) return -1;
    return static_cast<int>(std::max<int64_t>(due_ms - NowMs(), 0));
  }

  void CheckTimes() {
    if (kill_at_ms_ != kNever && NowMs() >= kill_at_ms_) Kill();
    if (exit_code_ >= 0 || restart_at_ms_ == kNever || NowMs() < restart_at_ms_) return;
    if (MaybeFailure failure = Start()) {
      fprintf(stderr, "refmount-holder: %s\n", Describe(*failure).c_str());
      Crashed();
    }
  }

  void Accept() {
    // Non-blocking: a client that takes no answers must not stop the others.
    Fd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client.valid()) clients_.push_back(std::move(client));
  }

  /// Answers one request. False when the client is gone or has to go.
  bool Serve(int client) {
    Result<Message> request = ReceiveMessage(client);
    if (!request.ok()) {
      if (request.failure().number == EAGAIN) return true;
      if (request.failure().number != EMSGSIZE) return false;
      return !SendMessage(client, "error the message is too large", {});
    }
    if (request.value().closed) return false;
    // Told as an answer: a connection that is closed with a request unread is only reset.
    Result<uid_t> uid = PeerUid(client);
    if (!uid.ok() || (uid.value() != geteuid() && uid.value() != 0)) {
      SendMessage(client, "error this holder belongs to another user", {});
      return false;
    }
    const Answer answer = AnswerRequest(std::move(request.value()), &state_);
    return !SendMessage(client, answer.text, answer.fds);
  }

  void TakeSignals() {
    signalfd_siginfo signal;
    while (read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
      if (signal.ssi_signo == SIGCHLD) {
        Reap();
      } else {
        Terminate();
      }
    }
  }

  /// As the first process of a container the holder gets children of others, too.
  void Reap() {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid == state_.worker_pid) WorkerEnded(pid, status);
    }
  }

  void WorkerEnded(pid_t pid, int status) {
    state_.worker_pid = 0;
    const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (terminating_) {
      // One that does not serve yet ends by the signal that it was sent, or says so by its code.
      const bool by_signal = WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
      const bool by_code = WIFEXITED(status) && WEXITSTATUS(status) == kSignalExitCode + SIGTERM;
      exit_code_ = clean || by_signal || by_code ? 0 : 1;
    } else if (state_.restart || (WIFEXITED(status) && WEXITSTATUS(status) == kRestartExitCode)) {
      restart_at_ms_ = NowMs();
    } else if (clean) {
      exit_code_ = 0;
    } else if (WIFEXITED(status) && IsFaultExitCode(WEXITSTATUS(status)) && state_.mounts.empty()) {
      // The worker has said in its log what is wrong; another one would say the same.
      exit_code_ = WEXITSTATUS(status);
    } else {
      fprintf(stderr, "refmount-holder: worker %d ended with %s %d\n", pid,
              WIFEXITED(status) ? "code" : "signal",
              WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
      Crashed();
    }
  }

  void Crashed() {
    const int64_t now_ms = NowMs();
    restart_at_ms_ = now_ms + policy_.DelayAfterCrash(now_ms);
    if (!policy_.Hopeless() || !state_.mounts.empty()) return;
    fprintf(stderr, "refmount-holder: the worker ends again and again; giving up\n");
    exit_code_ = 1;
  }

  /// The first time asks the worker to end, the second time ends it.
  void Terminate() {
    if (state_.worker_pid == 0) {
      exit_code_ = 0;
    } else if (terminating_) {
      Kill();
    } else {
      terminating_ = true;
      kill_at_ms_ = NowMs() + kOrderlyEndMs;
      kill(state_.worker_pid, SIGTERM);
    }
  }

  void Kill() {
    kill_at_ms_ = kNever;
    if (state_.worker_pid != 0) kill(state_.worker_pid, SIGKILL);
    exit_code_ = 1;
  }

  HolderOptions options_;
  const std::string variable_;
  Fd signals_, listener_;
  std::list<Fd> clients_;
  HolderState state_;
  RestartPolicy policy_;
  int64_t restart_at_ms_ = kNever;
  int64_t kill_at_ms_ = kNever;
  bool terminating_ = false;
  int exit_code_ = -1;
};

void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Result<Fd> MakeSignals() {
  // An ignored SIGCHLD would lose the worker's status.
  signal(SIGCHLD, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  if (sigprocmask(SIG_SETMASK, &signals, nullptr) != 0) return Errno("sigprocmask");
  Fd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return Errno("signalfd");
  return fd;
}

int Main(int count, char** words) {
  Result<HolderOptions> options = ReadHolderOptions(count, words);
  if (!options.ok()) {
    fprintf(stderr, "refmount-holder: %s\n%s", Describe(options.failure()).c_str(), kHolderUsage);
    return 2;
  }
  RaiseDescriptorLimit();
  // Fails for a session's leader, who needs none.
  if (!options.value().foreground) setsid();
  Result<Fd> signals = MakeSignals();
  Result<Fd> listener = ListenSeqpacket(options.value().socket_path);
  for (Result<Fd>* made : {&signals, &listener}) {
    if (made->ok()) continue;
    fprintf(stderr, "refmount-holder: %s\n", Describe(made->failure()).c_str());
    return 1;
  }
  return Holder(std::move(options.value()), std::move(signals.value()), std::move(listener.value()))
      .Run();
}

}  // namespace
}  // namespace refmount

int main(int count, char** words) { return refmount::Main(count, words); }
