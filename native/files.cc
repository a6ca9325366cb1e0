#include "files.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

extern char** environ;

namespace refmount {
namespace {

pid_t holdingThread = 0;

sigset_t HeldSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  if (holdingThread == 0) return signals;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

/// On a thread that does not block the signal: that one ends at execve, and the signal with it.
void PassToHoldingThread(int signal) {
  const int number = errno;
  syscall(SYS_tgkill, getpid(), holdingThread, signal);
  errno = number;
}

void SetCloseOnExec(int fd, bool close) {
  const int flags = fcntl(fd, F_GETFD);
  if (flags >= 0) fcntl(fd, F_SETFD, close ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
}

void KeepOnly(const std::vector<int>& keep) {
  if (DIR* listing = opendir("/proc/self/fd")) {
    while (const dirent* entry = readdir(listing)) {
      const int fd = atoi(entry->d_name);
      if (fd > STDERR_FILENO) SetCloseOnExec(fd, true);
    }
    closedir(listing);
  }
  for (const int fd : keep) SetCloseOnExec(fd, false);
  // Node marks its standard streams, too.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) SetCloseOnExec(fd, false);
}

}  // namespace

Result<Fd> MakeMemoryFile(const std::string& text) {
  Fd file(memfd_create("refmount", MFD_CLOEXEC));
  if (!file.valid()) return Errno("memfd_create");
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote =
        pwrite(file.get(), text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return Errno("pwrite", "memory file");
    done += static_cast<size_t>(wrote);
  }
  return file;
}

Result<Fd> LockFile(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return Errno("open", path);
  while (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return Fd();
    if (errno != EINTR) return Errno("flock", path);
  }
  return fd;
}

MaybeFailure SyncFs(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return Errno("open", path);
  if (syncfs(fd.get()) != 0) return Errno("syncfs", path);
  return {};
}

void HoldSignals() {
  holdingThread = static_cast<pid_t>(syscall(SYS_gettid));
  const sigset_t signals = HeldSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  struct sigaction action = {};
  action.sa_handler = PassToHoldingThread;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaction(signal, &action, nullptr);
}

Failure Exec(const std::string& path, std::vector<std::string> arguments,
             const std::vector<int>& keep) {
  // Found out before anything is changed: a caller may go on after this.
  if (access(path.c_str(), X_OK) != 0) return Errno("execve", path);
  std::vector<char*> pointers = {const_cast<char*>(path.c_str())};
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  KeepOnly(keep);
  // libuv may have made the standard streams non-blocking; the flag belongs to the open file, so
  // the next program and whoever shares the terminal would have it too.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    const int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  }
  // An ignored signal stays ignored over execve, and Node ignores these.
  for (const int number : {SIGPIPE, SIGXFSZ}) signal(number, SIG_DFL);
  const sigset_t held = HeldSignals();
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, &held, &before);
  execve(path.c_str(), pointers.data(), environ);
  const Failure failure = Errno("execve", path);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  for (const int number : {SIGPIPE, SIGXFSZ}) signal(number, SIG_IGN);
  return failure;
}

}  // namespace refmount
