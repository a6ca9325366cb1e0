// Decodes the bytes of one FUSE request and encodes the fixed parts of replies. Does no I/O, keeps
// no state and believes nothing: malformed bytes give an error value.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "wire.h"

namespace refmount {

struct InitRequest {
  uint32_t major;
  uint32_t minor;
  uint32_t maxReadahead;
  /// Both words of flags; the upper half is zero when the kernel sent none.
  uint64_t flags;
};
struct LookupRequest {
  std::string_view name;
};
struct GetattrRequest {
  /// Asked on behalf of an open file that reads at or beyond its known end.
  bool ofOpenFile;
};
struct OpenRequest {
  uint32_t flags;
};
struct OpendirRequest {};
struct ReadRequest {
  uint64_t offset;
  uint32_t size;
};
struct ReaddirRequest {
  uint64_t offset;
  uint32_t size;
  /// With attributes: READDIRPLUS.
  bool plus;
};
struct ReleaseRequest {};
struct ReleasedirRequest {};
struct StatfsRequest {};
struct AccessRequest {
  uint32_t mask;
};
struct GetxattrRequest {
  uint32_t size;
  std::string_view name;
};
struct ListxattrRequest {
  uint32_t size;
};
struct InterruptRequest {
  /// `unique` of the request whose caller got a signal.
  uint64_t unique;
};
struct DestroyRequest {};
/// FORGET, BATCH_FORGET, NOTIFY_REPLY: wants no reply at all.
struct SilentRequest {};
/// Anything that is answered with an errno whatever it says.
struct RefusedRequest {
  int errorNumber;
};

using Operation =
    std::variant<InitRequest, LookupRequest, GetattrRequest, OpenRequest, OpendirRequest,
                 ReadRequest, ReaddirRequest, ReleaseRequest, ReleasedirRequest, StatfsRequest,
                 AccessRequest, GetxattrRequest, ListxattrRequest, InterruptRequest, DestroyRequest,
                 SilentRequest, RefusedRequest>;

struct Request {
  uint64_t unique;
  uint64_t node;
  uint32_t opcode;
  /// Names in it point into the bytes that were decoded.
  Operation operation;
};

/// Bytes without a whole header: there is nobody to answer.
struct Undecodable {};

/// Decodes one request as read from the device. A bad body becomes RefusedRequest{EINVAL}.
std::variant<Request, Undecodable> DecodeRequest(std::span<const uint8_t> bytes);

/// The header of a reply with `payloadBytes` after it; `errorNumber` is a positive errno or 0.
wire::OutHeader EncodeHeader(uint64_t unique, int errorNumber, size_t payloadBytes);

/// Packs directory entries into the buffer of one READDIR or READDIRPLUS reply.
class DirentPacker {
 public:
  explicit DirentPacker(std::span<uint8_t> buffer) : buffer_(buffer) {}

  /// False when the entry does not fit any more; then nothing was written. `entry` is null for
  /// READDIR, and zeroed for "." and ".." of READDIRPLUS (the kernel then takes no reference).
  bool Add(const wire::EntryOut* entry, uint64_t ino, uint64_t nextOffset, uint32_t type,
           std::string_view name);
  size_t size() const { return used_; }

 private:
  std::span<uint8_t> buffer_;
  size_t used_ = 0;
};

}  // namespace refmount
