// Which blob holds the bytes of which node, and the bounded set of blobs that are open. Knows no
// FUSE; a blob that it does not know is simply not there.

#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "blob_file.h"

namespace refmount {

/// A blob as its owner provides it.
struct BlobSource {
  std::string path;
  Digest name{};
  uint64_t sizeBytes = 0;
  /// Null: they are in `path`.crc.
  BlockCrcs crcs;
  /// Its owner unlinks it, so it can be opened this once only.
  bool temporary = false;
};

/// Thread-safe. Opens files outside its lock.
class BlobTable {
 public:
  /// At most `maxOpen` lasting blobs are kept open, and kMaxOpenTemporary temporary ones.
  explicit BlobTable(size_t maxOpen);

  /// Opens the blob and makes it the node's.
  MaybeFailure Provide(uint64_t node, const BlobSource& source);

  /// The node's blob, reopened when it was closed; null when there is none. A blob whose file
  /// cannot be opened any more is forgotten. Its descriptor stays open as long as the result is
  /// held.
  std::shared_ptr<const BlobFile> Acquire(uint64_t node);
  bool Known(uint64_t node);
  /// True when the node's blob is known and not temporary.
  bool Lasting(uint64_t node);
  /// Size of the node's blob, for nodes whose size the manifest does not tell.
  std::optional<uint64_t> SizeOf(uint64_t node);

  /// Forgets the blob if it still is the one that was found damaged; false when another thread has
  /// done so.
  bool Drop(const BlobFile& damaged);
  /// Forgets the blob with this name; its descriptor is closed with its last user.
  void Forget(const Digest& name);

  size_t openCount();

 private:
  // Records are addressed by index and found stale by generation, so that forgetting a blob need
  // not look for its nodes.
  using Index = uint32_t;
  static constexpr Index kNone = UINT32_MAX;
  enum List : uint8_t { kFree, kOpenList, kTemporaryList, kClosedList, kListCount };

  struct Record {
    Digest name{};
    uint64_t sizeBytes = 0;
    std::shared_ptr<const BlobFile> file;
    BlockCrcs crcs;
    Index previous = kNone;
    Index next = kNone;
    uint32_t generation = 0;
    /// The path is this text followed by the last `suffixDigits` hex digits of the name.
    uint32_t prefix = 0;
    uint8_t suffixDigits = 0;
    List list = kFree;
  };
  struct Place {
    Index index;
    uint32_t generation;
  };
  struct Ends {
    Index head = kNone;
    Index tail = kNone;
    size_t count = 0;
  };

  Record* Find(uint64_t node, Index* index);
  Index Add(const Digest& name);
  void Fill(Index index, const BlobSource& source);
  void Move(Index index, List list);
  void Unlink(Index index);
  void Remove(Index index);
  void Trim();
  void KeepPath(Record* record, const std::string& path);
  std::string PathOf(const Record& record) const;

  const size_t maxOpen_;
  std::mutex mutex_;
  std::deque<Record> records_;
  std::array<Ends, kListCount> lists_;
  std::unordered_map<uint64_t, Place> byNode_;
  /// By the first eight bytes of the name; the whole name is compared after.
  std::unordered_map<uint64_t, Index> byName_;
  std::vector<std::string> prefixes_;
  std::unordered_map<std::string, uint32_t> prefixIds_;
};

}  // namespace refmount
