// Where the parts of an object end, when its bytes come in order. Hashes nothing.

#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace refmount {

/// How an object was cut into parts when it was written.
struct PartSizes {
  /// Bytes of the parts in order; the last one holds for all that follow.
  std::vector<uint64_t> bytes;
  /// The last part takes whatever is left, however much that is.
  uint64_t count = 0;
};

/// Walks through the parts. At most `left()` bytes are taken at once.
class PartCuts {
 public:
  /// @param sizes one or more sizes, and a count of one or more.
  explicit PartCuts(PartSizes sizes) : sizes_(std::move(sizes)) { left_ = SizeOf(0); }

  /// Bytes that still belong to the current part. 0: the part is over, so that `Next` is due.
  uint64_t left() const { return left_; }

  /// True in the last part, which has no end of its own.
  bool last() const { return index_ + 1 == sizes_.count; }

  void Take(uint64_t bytes) {
    if (!last()) left_ -= bytes;
  }

  /// Begins the next part; not in the last one.
  void Next() {
    index_++;
    left_ = SizeOf(index_);
  }

  uint64_t count() const { return sizes_.count; }

 private:
  uint64_t SizeOf(uint64_t index) const {
    if (index + 1 == sizes_.count) return UINT64_MAX;
    return index < sizes_.bytes.size() ? sizes_.bytes[index] : sizes_.bytes.back();
  }

  const PartSizes sizes_;
  uint64_t index_ = 0;
  uint64_t left_;
};

}  // namespace refmount
