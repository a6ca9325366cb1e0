// Extended attributes: names and the state of a blob are answered here, other values by an upcall.
// The kernel never caches them.

#include <algorithm>
#include <utility>

#include "session.h"

namespace refmount {

void Session::HandleXattr(uint16_t device, const Request& request, const GetxattrRequest& wanted) {
  Node node;
  if (const int error = tree_.Get(request.node, &node)) {
    ReplyError(device, request.unique, error);
    return;
  }
  if (wanted.name == kStateXattr) {
    const bool present = (!node.sizeUnknown && node.sizeBytes == 0) || blobs_.Known(node.id);
    const std::string_view state = node.directory ? "directory" : present ? "cached" : "absent";
    return ReplySized(device, request.unique, wanted.size,
                      {reinterpret_cast<const uint8_t*>(state.data()), state.size()});
  }
  if (node.directory || !wanted.name.starts_with(kXattrPrefix)) {
    // "Not supported" lets ls ask for an ACL once a file system and not once a file.
    const bool acl = wanted.name.starts_with("system.");
    ReplyError(device, request.unique, acl ? EOPNOTSUPP : ENODATA);
    return;
  }
  uint64_t token;
  {
    const std::lock_guard lock(xattrMutex_);
    token = nextToken_++;
    xattrWaits_.emplace(token, XattrWait{request.unique, wanted.size, device});
  }
  upcalls_->OnXattr(token, node.id, wanted.name);
}

void Session::ReplyXattr(uint64_t token, std::optional<std::span<const uint8_t>> value) {
  XattrWait wait;
  {
    const std::lock_guard lock(xattrMutex_);
    const auto found = xattrWaits_.find(token);
    if (found == xattrWaits_.end()) return;
    wait = found->second;
    xattrWaits_.erase(found);
  }
  if (!value) {
    ReplyError(wait.device, wait.unique, ENODATA);
    return;
  }
  ReplySized(wait.device, wait.unique, wait.size, *value);
}

void Session::HandleXattrNames(uint16_t device, const Request& request, uint32_t size) {
  Node node;
  if (const int error = tree_.Get(request.node, &node)) {
    ReplyError(device, request.unique, error);
    return;
  }
  bool failed;
  {
    const std::lock_guard lock(failedMutex_);
    failed = failedNodes_.contains(node.id);
  }
  const std::string names = XattrNames(node, failed);
  ReplySized(device, request.unique, size,
             {reinterpret_cast<const uint8_t*>(names.data()), names.size()});
}

/// With no room given the caller only wants to know how much there is.
void Session::ReplySized(uint16_t device, uint64_t unique, uint32_t room,
                         std::span<const uint8_t> value) {
  if (room == 0) {
    ReplyStruct(device, unique, wire::GetxattrOut{static_cast<uint32_t>(value.size()), 0});
  } else if (value.size() > room) {
    ReplyError(device, unique, ERANGE);
  } else {
    Reply(device, unique, value);
  }
}

bool Session::InterruptXattr(uint64_t unique) {
  XattrWait wait;
  {
    const std::lock_guard lock(xattrMutex_);
    const auto found = std::find_if(xattrWaits_.begin(), xattrWaits_.end(), [&](const auto& entry) {
      return ((entry.second.unique ^ unique) & ~wire::kResent) == 0;
    });
    if (found == xattrWaits_.end()) return false;
    wait = found->second;
    xattrWaits_.erase(found);
  }
  ReplyError(wait.device, wait.unique, EINTR);
  return true;
}

}  // namespace refmount
