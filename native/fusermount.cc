#include "fusermount.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <utility>
#include <vector>

#include "seqpacket.h"

extern char** environ;

namespace refmount {
namespace {

constexpr char kProgram[] = "fusermount3";
constexpr int kDeadlineMs = 30'000;
constexpr size_t kMaxWordsBytes = 4096;
/// Where the child finds its socket; named in _FUSE_COMMFD.
constexpr int kChildSocket = 3;

/// Commas separate mount options; fusermount3 takes a backslash as the escape.
std::string Escape(const std::string& value) {
  std::string escaped;
  for (const char c : value) {
    if (c == ',' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::vector<std::string> MakeEnvironment() {
  std::vector<std::string> variables;
  for (char** at = environ; at != nullptr && *at != nullptr; at++) {
    const std::string_view variable = *at;
    if (variable.starts_with("_FUSE_COMMFD=") || variable.starts_with("LC_ALL=")) continue;
    variables.emplace_back(variable);
  }
  variables.emplace_back("_FUSE_COMMFD=" + std::to_string(kChildSocket));
  // What it says is searched for the errno's English text.
  variables.emplace_back("LC_ALL=C");
  return variables;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Starts the program with `socket` as descriptor 3 and `words` as standard error.
Result<pid_t> Spawn(std::vector<std::string> arguments, int socket, int words) {
  std::vector<std::string> variables = MakeEnvironment();
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  // The caller's descriptors are 3 or higher, so the first copy overwrites neither.
  posix_spawn_file_actions_adddup2(&actions, words, STDERR_FILENO);
  if (socket >= 0) posix_spawn_file_actions_adddup2(&actions, socket, kChildSocket);
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  sigaddset(&signals, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int number = posix_spawnp(&pid, kProgram, &actions, &attributes, Pointers(arguments).data(),
                                  Pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (number != 0) {
    return Failure{number, "spawn", kProgram, "install the package fuse3, or mount as root"};
  }
  return pid;
}

int64_t NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

/// Reads what the program says until it closes its standard error. False after the deadline.
bool ReadWords(int fd, std::string* words) {
  const int64_t end = NowMs() + kDeadlineMs;
  while (true) {
    pollfd ready = {fd, POLLIN, 0};
    const int64_t left = end - NowMs();
    if (left <= 0) return false;
    if (poll(&ready, 1, static_cast<int>(left)) <= 0) continue;
    char buffer[512];
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (words->size() < kMaxWordsBytes) words->append(buffer, static_cast<size_t>(got));
  }
  while (!words->empty() && words->back() == '\n') words->pop_back();
  return true;
}

/// fusermount3 has one exit code for every failure; its words tell more.
int ErrnoOfWords(const std::string& words) {
  static constexpr std::pair<const char*, int> kMeanings[] = {
      {"No such file or directory", ENOENT},
      {"Permission denied", EACCES},
      {"no write access", EACCES},
      {"Operation not permitted", EPERM},
      {"Not a directory", ENOTDIR},
      {"No such device", ENODEV},
      {"Device or resource busy", EBUSY},
      {"Too many levels of symbolic links", ELOOP},
      {"Transport endpoint is not connected", ENOTCONN},
      {"Invalid argument", EINVAL},
      {"not found in", EINVAL},
  };
  for (const auto& [text, number] : kMeanings) {
    if (words.find(text) != std::string::npos) return number;
  }
  return EPERM;
}

/// Runs the program to its end.
MaybeFailure Run(std::vector<std::string> arguments, Fd socket, const std::string& dir) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Errno("pipe2");
  const Fd words_end(ends[0]);
  Fd child_end(ends[1]);
  Result<pid_t> started = Spawn(std::move(arguments), socket.get(), child_end.get());
  child_end.reset();
  socket.reset();
  if (!started.ok()) return started.failure();
  std::string words;
  const bool ended = ReadWords(words_end.get(), &words);
  if (!ended) kill(started.value(), SIGKILL);
  int status = 0;
  pid_t waited = 0;
  do {
    // One that hangs in the kernel survives even SIGKILL: it must not take us with it.
    waited = waitpid(started.value(), &status, ended ? 0 : WNOHANG);
  } while (waited < 0 && errno == EINTR);
  if (!ended) return Failure{ETIMEDOUT, kProgram, dir, words};
  if (waited < 0) return Errno("waitpid", kProgram);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Failure{ErrnoOfWords(words), kProgram, dir, words};
}

}  // namespace

Result<Fd> FusermountAttach(const std::string& dir, const std::string& fsname, bool allow_other) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return Errno("socketpair");
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  std::string options =
      "ro,nosuid,nodev,default_permissions,subtype=refmount,fsname=" + Escape(fsname);
  if (allow_other) options += ",allow_other";
  if (auto failure = Run({kProgram, "-o", options, "--", dir}, std::move(theirs), dir)) {
    return *failure;
  }
  // It has ended: its answer is here, or the end of the stream is.
  Result<Message> answer = ReceiveMessage(ours.get());
  if (!answer.ok()) return answer.failure();
  if (answer.value().fds.empty()) return Failure{EPROTO, kProgram, dir, "it sent no descriptor"};
  return std::move(answer.value().fds.front());
}

MaybeFailure FusermountDetach(const std::string& dir, bool lazy) {
  std::vector<std::string> arguments = {kProgram, "-u"};
  if (lazy) arguments.emplace_back("-z");
  arguments.insert(arguments.end(), {"--", dir});
  return Run(std::move(arguments), Fd(), dir);
}

}  // namespace refmount
