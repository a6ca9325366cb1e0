// Unix sockets that keep message borders and carry descriptors. Knows nothing of what is said.

#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "failure.h"
#include "fd.h"

namespace refmount {

/// The longest message either side takes; fits the kernel's default send buffer.
constexpr size_t kMaxMessageBytes = 192 * 1024;
/// The longest record of a mount: passes with the words of any request or answer around it.
constexpr size_t kMaxRecordBytes = kMaxMessageBytes - 1024;
/// The most descriptors in one message.
constexpr size_t kMaxMessageFds = 128;

struct Message {
  std::string text;
  /// CLOEXEC.
  std::vector<Fd> fds;
  /// The peer closed the connection; the rest is empty.
  bool closed = false;
};

/// Listens on `path` (mode 0600). A socket that nobody listens on any more is replaced; a live one
/// is EADDRINUSE.
Result<Fd> ListenSeqpacket(const std::string& path);

Result<Fd> ConnectSeqpacket(const std::string& path);

/// Sends one message; EMSGSIZE when it is over the limits.
MaybeFailure SendMessage(int socket, std::string_view text, std::span<const int> fds);

/// Waits for one message. One that is over the limits is discarded, its descriptors closed:
/// EMSGSIZE, and the next call gives the next message.
Result<Message> ReceiveMessage(int socket);

/// Whose process is at the other end.
Result<uid_t> PeerUid(int socket);

}  // namespace refmount
