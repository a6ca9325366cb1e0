// Reads the compiled inode index of a manifest: records, lookups, listings. Checks every record it
// uses and writes nothing; a damaged record is EIO, never another file.

#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "failure.h"
#include "mapped_file.h"

namespace refmount {

struct Node {
  uint64_t id = 0;
  uint64_t sizeBytes = 0;
  int64_t mtimeMs = 0;
  uint64_t parent = 0;
  /// First of `childCount` consecutive ids, sorted by name in byte order; 0 when there are none.
  uint64_t firstChild = 0;
  uint32_t childCount = 0;
  uint32_t subdirCount = 0;
  bool directory = false;
  /// The size becomes known when the blob is there.
  bool sizeUnknown = false;
  /// Points into the index; empty for the root.
  std::string_view name;
};

using Digest = std::array<uint8_t, 32>;

/// Lower-case hex of 64 digits to bytes; false for anything else.
bool ParseDigest(std::string_view hex, Digest* out);
std::string FormatDigest(const Digest& digest);

class Tree {
 public:
  /// Maps the index and checks its header; `manifest` must be the digest in it.
  static Result<Tree> Open(const std::string& path, const Digest& manifest);
  /// The same on bytes that outlive the tree.
  static Result<Tree> Parse(std::span<const uint8_t> bytes, const Digest& manifest);

  /// The node with this id. Returns 0, ENOENT for an id that cannot be, or EIO when it is damaged.
  int Get(uint64_t id, Node* out) const;
  /// The child of `directory` with this name. Returns 0, ENOENT, or EIO.
  int Find(const Node& directory, std::string_view name, Node* out) const;
  /// The child with this id, which must lie in the directory's range. Returns 0 or EIO.
  int GetChild(const Node& directory, uint64_t id, Node* out) const;

  uint64_t nodeCount() const { return nodeCount_; }
  uint64_t totalBytes() const { return totalBytes_; }

 private:
  Tree() = default;

  /// Finds a name among the children `low` to `high` where a damaged one is in the way of a search.
  int FindBySteps(const Node& directory, uint64_t low, uint64_t high, std::string_view name,
                  Node* out) const;

  MappedFile file_;
  uint64_t nodeCount_ = 0;
  uint64_t totalBytes_ = 0;
  std::span<const uint8_t> nodes_;
  std::span<const uint8_t> names_;
};

}  // namespace refmount
