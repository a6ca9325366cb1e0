#include "negotiation.h"

#include <algorithm>

#include "blob_file.h"

namespace refmount {
namespace {

// Not asked for: AUTO_INVAL_DATA (nothing changes here), ASYNC_DIO (its readers cannot be
// interrupted or killed while they wait).
constexpr uint64_t kWanted = wire::kAsyncRead | wire::kExportSupport | wire::kDoReaddirplus |
                             wire::kNoOpenSupport | wire::kParallelDirops | wire::kAbortError |
                             wire::kMaxPages | wire::kCacheSymlinks | wire::kNoOpendirSupport |
                             wire::kExplicitInvalData | wire::kInitExt | wire::kHasResend;
/// Without MAX_PAGES the kernel reads 32 pages at most.
constexpr uint32_t kDefaultMaxPages = 32;
/// The kernel takes the smaller of this and what its device has, which only root can raise.
constexpr uint32_t kMaxReadaheadBytes = 16 << 20;
/// Each parked read takes a background slot.
constexpr uint16_t kMaxBackground = 65535;
/// Nothing is written, but the kernel wants this much, and buffers for requests that are as large.
constexpr uint32_t kMaxWriteBytes = 4096;

uint32_t MaxPages(size_t pageBytes) {
  return std::max<uint32_t>(1, static_cast<uint32_t>(kMaxReadBytes / pageBytes));
}

}  // namespace

std::optional<Negotiation> Negotiate(const InitRequest& offer, bool passthrough, size_t pageBytes) {
  if (offer.major != wire::kMajor || offer.minor < wire::kOldestMinor) return std::nullopt;
  Negotiation agreed;
  agreed.minor = std::min(offer.minor, wire::kMinor);
  agreed.flags = offer.flags & (kWanted | (passthrough ? wire::kPassthrough : 0));
  if (!agreed.Has(wire::kInitExt)) agreed.flags &= UINT32_MAX;
  agreed.passthrough = agreed.Has(wire::kPassthrough);
  agreed.maxReadBytes =
      agreed.Has(wire::kMaxPages)
          ? kMaxReadBytes
          : std::min(kMaxReadBytes, kDefaultMaxPages * static_cast<uint32_t>(pageBytes));
  return agreed;
}

wire::InitOut EncodeInit(const InitRequest& offer, const Negotiation& agreed, size_t pageBytes) {
  wire::InitOut out{};
  out.major = wire::kMajor;
  out.minor = agreed.minor;
  out.max_readahead = std::max(offer.maxReadahead, kMaxReadaheadBytes);
  out.flags = static_cast<uint32_t>(agreed.flags);
  out.flags2 = static_cast<uint32_t>(agreed.flags >> 32);
  out.max_background = kMaxBackground;
  out.congestion_threshold = kMaxBackground;
  out.max_write = kMaxWriteBytes;
  out.time_gran = 1;
  out.max_pages = static_cast<uint16_t>(MaxPages(pageBytes));
  // Blobs lie on a file system of their own, not on a stacked one; 0 would turn passthrough off.
  out.max_stack_depth = agreed.passthrough ? 1 : 0;
  return out;
}

}  // namespace refmount
