// What the session answers to INIT. Pure: from the kernel's offer to the reply.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "protocol.h"

namespace refmount {

struct Negotiation {
  uint32_t minor = 0;
  /// What both sides do.
  uint64_t flags = 0;
  uint32_t maxReadBytes = 0;
  bool passthrough = false;

  bool Has(uint64_t flag) const { return (flags & flag) != 0; }
};

/// Decides on an offer of protocol 7. Nothing for a kernel that is too old. `passthrough` is a
/// wish.
std::optional<Negotiation> Negotiate(const InitRequest& offer, bool passthrough, size_t pageBytes);

/// The reply that says so.
wire::InitOut EncodeInit(const InitRequest& offer, const Negotiation& agreed, size_t pageBytes);

}  // namespace refmount
