#include "protocol.h"

#include <cerrno>
#include <cstring>
#include <optional>

namespace refmount {
namespace {

using Bytes = std::span<const uint8_t>;

template <class T>
bool Take(Bytes body, T* out) {
  if (body.size() < sizeof(T)) return false;
  std::memcpy(out, body.data(), sizeof(T));
  return true;
}

/// A name ends with its first zero byte, which must be there; nothing may be empty.
std::optional<std::string_view> TakeName(Bytes body) {
  if (body.empty()) return std::nullopt;
  const void* end = std::memchr(body.data(), 0, body.size());
  if (end == nullptr || end == body.data()) return std::nullopt;
  const auto* first = reinterpret_cast<const char*>(body.data());
  return std::string_view(first, static_cast<const char*>(end));
}

Operation DecodeInit(Bytes body) {
  wire::InitIn in{};
  if (body.size() < wire::kShortInitInBytes) return RefusedRequest{EINVAL};
  std::memcpy(&in, body.data(), body.size() < sizeof(in) ? wire::kShortInitInBytes : sizeof(in));
  uint64_t flags = in.flags;
  if (flags & wire::kInitExt) flags |= uint64_t{in.flags2} << 32;
  return InitRequest{in.major, in.minor, in.max_readahead, flags};
}

Operation DecodeRead(Bytes body, uint32_t opcode) {
  wire::ReadIn in;
  if (!Take(body, &in)) return RefusedRequest{EINVAL};
  if (opcode == wire::kRead) return ReadRequest{in.offset, in.size};
  return ReaddirRequest{in.offset, in.size, opcode == wire::kReaddirplus};
}

Operation DecodeGetxattr(Bytes body) {
  wire::GetxattrIn in;
  if (!Take(body, &in)) return RefusedRequest{EINVAL};
  const auto name = TakeName(body.subspan(sizeof(in)));
  if (!name) return RefusedRequest{EINVAL};
  return GetxattrRequest{in.size, *name};
}

Operation DecodeOperation(uint32_t opcode, Bytes body) {
  switch (opcode) {
    case wire::kInit:
      return DecodeInit(body);
    case wire::kLookup: {
      const auto name = TakeName(body);
      if (!name) return RefusedRequest{EINVAL};
      return LookupRequest{*name};
    }
    case wire::kGetattr: {
      wire::GetattrIn in;
      if (!Take(body, &in)) return RefusedRequest{EINVAL};
      return GetattrRequest{(in.getattr_flags & wire::kGetattrFh) != 0};
    }
    case wire::kOpen: {
      wire::OpenIn in;
      if (!Take(body, &in)) return RefusedRequest{EINVAL};
      return OpenRequest{in.flags};
    }
    case wire::kRead:
    case wire::kReaddir:
    case wire::kReaddirplus:
      return DecodeRead(body, opcode);
    case wire::kAccess: {
      wire::AccessIn in;
      if (!Take(body, &in)) return RefusedRequest{EINVAL};
      return AccessRequest{in.mask};
    }
    case wire::kGetxattr:
      return DecodeGetxattr(body);
    case wire::kListxattr: {
      wire::GetxattrIn in;
      if (!Take(body, &in)) return RefusedRequest{EINVAL};
      return ListxattrRequest{in.size};
    }
    case wire::kInterrupt: {
      wire::InterruptIn in;
      if (!Take(body, &in)) return SilentRequest{};
      return InterruptRequest{in.unique};
    }
    case wire::kOpendir:
      return OpendirRequest{};
    case wire::kRelease:
      return ReleaseRequest{};
    case wire::kReleasedir:
      return ReleasedirRequest{};
    case wire::kStatfs:
      return StatfsRequest{};
    case wire::kDestroy:
      return DestroyRequest{};
    case wire::kForget:
    case wire::kBatchForget:
    case wire::kNotifyReply:
      return SilentRequest{};
    case wire::kSetattr:
    case wire::kSymlink:
    case wire::kMknod:
    case wire::kMkdir:
    case wire::kUnlink:
    case wire::kRmdir:
    case wire::kRename:
    case wire::kRename2:
    case wire::kLink:
    case wire::kWrite:
    case wire::kSetxattr:
    case wire::kRemovexattr:
    case wire::kCreate:
    case wire::kFallocate:
    case wire::kCopyFileRange:
    case wire::kTmpfile:
      return RefusedRequest{EROFS};
    default:
      // After one ENOSYS the kernel answers by itself and asks no more: FLUSH and FSYNC succeed,
      // LSEEK takes a file as one extent, STATX falls back to the cached attributes.
      return RefusedRequest{ENOSYS};
  }
}

}  // namespace

std::variant<Request, Undecodable> DecodeRequest(Bytes bytes) {
  wire::InHeader header;
  if (!Take(bytes, &header)) return Undecodable{};
  const auto answer = [&](Operation operation) {
    return Request{header.unique, header.nodeid, header.opcode, operation};
  };
  const size_t extensionBytes = size_t{header.total_extlen} * 8;
  if (header.len != bytes.size() || header.len - sizeof(header) < extensionBytes) {
    return answer(RefusedRequest{EINVAL});
  }
  const Bytes body = bytes.subspan(sizeof(header), header.len - sizeof(header) - extensionBytes);
  return answer(DecodeOperation(header.opcode, body));
}

wire::OutHeader EncodeHeader(uint64_t unique, int errorNumber, size_t payloadBytes) {
  return wire::OutHeader{static_cast<uint32_t>(sizeof(wire::OutHeader) + payloadBytes),
                         -errorNumber, unique};
}

bool DirentPacker::Add(const wire::EntryOut* entry, uint64_t ino, uint64_t nextOffset,
                       uint32_t type, std::string_view name) {
  const size_t prefixBytes = entry == nullptr ? 0 : sizeof(*entry);
  const size_t unpadded = prefixBytes + sizeof(wire::Dirent) + name.size();
  const size_t padded = (unpadded + 7) & ~size_t{7};
  if (padded > buffer_.size() - used_) return false;
  uint8_t* out = buffer_.data() + used_;
  if (entry != nullptr) std::memcpy(out, entry, sizeof(*entry));
  const wire::Dirent dirent{ino, nextOffset, static_cast<uint32_t>(name.size()), type};
  std::memcpy(out + prefixBytes, &dirent, sizeof(dirent));
  std::memcpy(out + prefixBytes + sizeof(dirent), name.data(), name.size());
  std::memset(out + unpadded, 0, padded - unpadded);
  used_ += padded;
  return true;
}

}  // namespace refmount
