#include "seqpacket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

namespace refmount {
namespace {

MaybeFailure MakeAddress(const std::string& path, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address->sun_path) {
    return Failure{ENAMETOOLONG, "connect", path, "a socket's path has 1 to 107 bytes"};
  }
  memcpy(address->sun_path, path.data(), path.size());
  return {};
}

Result<Fd> MakeSocket(const std::string& path) {
  Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Errno("socket", path);
  // A message of kMaxMessageBytes passes even where the default buffer is smaller than usual.
  const int send_bytes = 2 * kMaxMessageBytes;
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
  return fd;
}

bool Bind(int socket, const sockaddr_un& address) {
  // The socket must never be open to others, not even before a chmod.
  const mode_t before = umask(0177);
  const bool bound = bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int number = errno;
  umask(before);
  errno = number;
  return bound;
}

}  // namespace

Result<Fd> ConnectSeqpacket(const std::string& path) {
  sockaddr_un address;
  if (auto failure = MakeAddress(path, &address)) return *failure;
  Result<Fd> made = MakeSocket(path);
  if (!made.ok()) return made;
  while (connect(made.value().get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    if (errno != EINTR) return Errno("connect", path);
  }
  return made;
}

Result<Fd> ListenSeqpacket(const std::string& path) {
  sockaddr_un address;
  if (auto failure = MakeAddress(path, &address)) return *failure;
  Result<Fd> made = MakeSocket(path);
  if (!made.ok()) return made;
  const int fd = made.value().get();
  if (!Bind(fd, address)) {
    if (errno != EADDRINUSE) return Errno("bind", path);
    Result<Fd> other = ConnectSeqpacket(path);
    if (other.ok() || other.failure().number != ECONNREFUSED) {
      return Failure{EADDRINUSE, "bind", path, {}};
    }
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return Errno("unlink", path);
    if (!Bind(fd, address)) return Errno("bind", path);
  }
  if (listen(fd, 16) != 0) return Errno("listen", path);
  return made;
}

MaybeFailure SendMessage(int socket, std::string_view text, std::span<const int> fds) {
  if (text.size() > kMaxMessageBytes || fds.size() > kMaxMessageFds) {
    return Failure{EMSGSIZE, "sendmsg", {}, {}};
  }
  iovec part = {const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxMessageFds * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return Errno("sendmsg");
  }
  return {};
}

Result<Message> ReceiveMessage(int socket) {
  Message received;
  received.text.resize(kMaxMessageBytes);
  iovec part = {received.text.data(), received.text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxMessageFds * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size;
  while ((size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno != EINTR) return Errno("recvmsg");
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int raw;
      memcpy(&raw, CMSG_DATA(header) + i * sizeof raw, sizeof raw);
      received.fds.emplace_back(raw);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return Failure{EMSGSIZE, "recvmsg", {}, {}};
  }
  received.closed = size == 0 && received.fds.empty();
  received.text.resize(static_cast<size_t>(size));
  received.text.shrink_to_fit();
  return received;
}

Result<uid_t> PeerUid(int socket) {
  ucred credentials;
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return Errno("getsockopt");
  }
  return credentials.uid;
}

}  // namespace refmount
