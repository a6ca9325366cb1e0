#include "blobs.h"

#include <cstring>
#include <utility>

namespace refmount {
namespace {

constexpr size_t kMaxOpenTemporary = 16;
/// Closed blobs that are remembered, so that a mount of many millions of files stays within some
/// hundred MB; one that is forgotten costs a question to the cache.
constexpr size_t kMaxClosed = 1 << 20;
/// Nodes without a valid blob are dropped from the map when it is this much larger than needed.
constexpr size_t kMaxStaleNodes = 1 << 20;

uint64_t ShortName(const Digest& name) {
  uint64_t shortName;
  std::memcpy(&shortName, name.data(), sizeof(shortName));
  return shortName;
}

}  // namespace

BlobTable::BlobTable(size_t maxOpen) : maxOpen_(maxOpen > 0 ? maxOpen : 1) {}

MaybeFailure BlobTable::Provide(uint64_t node, const BlobSource& source) {
  auto opened = BlobFile::Open(source.path, source.name, source.sizeBytes, source.crcs);
  if (!opened.ok() && (opened.failure().number == EMFILE || opened.failure().number == ENFILE)) {
    // The process is out of descriptors: give one of ours back and try once more.
    {
      const std::lock_guard lock(mutex_);
      if (lists_[kOpenList].tail != kNone) Move(lists_[kOpenList].tail, kClosedList);
    }
    opened = BlobFile::Open(source.path, source.name, source.sizeBytes, source.crcs);
  }
  if (!opened.ok()) return opened.failure();
  const std::lock_guard lock(mutex_);
  const auto known = byName_.find(ShortName(source.name));
  // The newer file counts: what was known may be a temporary one, or one being evicted. The record
  // stays the same one, so that other nodes with equal bytes keep theirs.
  Index index = known == byName_.end() ? kNone : known->second;
  if (index == kNone || records_[index].name != source.name) {
    if (index != kNone) Remove(index);
    index = Add(source.name);
  }
  Fill(index, source);
  records_[index].file = std::move(opened.value());
  byNode_[node] = Place{index, records_[index].generation};
  Trim();
  return std::nullopt;
}

std::shared_ptr<const BlobFile> BlobTable::Acquire(uint64_t node) {
  std::string path;
  Digest name;
  uint64_t sizeBytes;
  BlockCrcs crcs;
  Index index;
  uint32_t generation;
  {
    const std::lock_guard lock(mutex_);
    Record* record = Find(node, &index);
    if (record == nullptr) return nullptr;
    if (record->file != nullptr) {
      Move(index, record->list);
      return record->file;
    }
    path = PathOf(*record);
    name = record->name;
    sizeBytes = record->sizeBytes;
    crcs = record->crcs;
    generation = record->generation;
  }
  auto opened = BlobFile::Open(path, name, sizeBytes, std::move(crcs));
  const std::lock_guard lock(mutex_);
  Record& record = records_[index];
  const bool same = record.generation == generation && record.list != kFree;
  if (!opened.ok()) {
    if (same && record.file == nullptr) Remove(index);
    return nullptr;
  }
  if (same) {
    if (record.file == nullptr) record.file = opened.value();
    Move(index, kOpenList);
    Trim();
  }
  return std::move(opened.value());
}

bool BlobTable::Known(uint64_t node) {
  const std::lock_guard lock(mutex_);
  Index index;
  return Find(node, &index) != nullptr;
}

bool BlobTable::Lasting(uint64_t node) {
  const std::lock_guard lock(mutex_);
  Index index;
  const Record* record = Find(node, &index);
  return record != nullptr && record->list != kTemporaryList;
}

std::optional<uint64_t> BlobTable::SizeOf(uint64_t node) {
  const std::lock_guard lock(mutex_);
  Index index;
  const Record* record = Find(node, &index);
  if (record == nullptr) return std::nullopt;
  return record->sizeBytes;
}

bool BlobTable::Drop(const BlobFile& damaged) {
  const std::lock_guard lock(mutex_);
  const auto known = byName_.find(ShortName(damaged.name()));
  if (known == byName_.end()) return false;
  const Record& record = records_[known->second];
  // A record that was closed meanwhile would reopen the same damaged file.
  if (record.name != damaged.name()) return false;
  if (record.file != nullptr && record.file.get() != &damaged) return false;
  Remove(known->second);
  return true;
}

void BlobTable::Forget(const Digest& name) {
  const std::lock_guard lock(mutex_);
  const auto known = byName_.find(ShortName(name));
  if (known != byName_.end() && records_[known->second].name == name) Remove(known->second);
}

size_t BlobTable::openCount() {
  const std::lock_guard lock(mutex_);
  return lists_[kOpenList].count + lists_[kTemporaryList].count;
}

BlobTable::Record* BlobTable::Find(uint64_t node, Index* index) {
  const auto place = byNode_.find(node);
  if (place == byNode_.end()) return nullptr;
  Record& record = records_[place->second.index];
  if (record.generation != place->second.generation || record.list == kFree) {
    byNode_.erase(place);
    return nullptr;
  }
  *index = place->second.index;
  return &record;
}

BlobTable::Index BlobTable::Add(const Digest& name) {
  Index index = lists_[kFree].head;
  if (index == kNone) {
    index = static_cast<Index>(records_.size());
    records_.emplace_back();
  }
  records_[index].name = name;
  records_[index].generation++;
  byName_[ShortName(name)] = index;
  return index;
}

void BlobTable::Fill(Index index, const BlobSource& source) {
  Record& record = records_[index];
  record.sizeBytes = source.sizeBytes;
  record.crcs = source.crcs;
  if (!source.temporary) KeepPath(&record, source.path);
  Move(index, source.temporary ? kTemporaryList : kOpenList);
}

/// Puts a record at the head of a list: most recently used first.
void BlobTable::Move(Index index, List list) {
  Record& record = records_[index];
  Unlink(index);
  Ends& ends = lists_[list];
  record.list = list;
  record.next = ends.head;
  if (ends.head != kNone) records_[ends.head].previous = index;
  ends.head = index;
  if (ends.tail == kNone) ends.tail = index;
  ends.count++;
  if (list == kClosedList) record.file.reset();
}

void BlobTable::Unlink(Index index) {
  Record& record = records_[index];
  Ends& ends = lists_[record.list];
  const bool linked = ends.head == index || record.previous != kNone;
  if (!linked) return;
  (record.previous == kNone ? ends.head : records_[record.previous].next) = record.next;
  (record.next == kNone ? ends.tail : records_[record.next].previous) = record.previous;
  record.previous = record.next = kNone;
  ends.count--;
}

void BlobTable::Remove(Index index) {
  Record& record = records_[index];
  const auto known = byName_.find(ShortName(record.name));
  if (known != byName_.end() && known->second == index) byName_.erase(known);
  record.file.reset();
  record.crcs.reset();
  Move(index, kFree);
}

void BlobTable::Trim() {
  while (lists_[kOpenList].count > maxOpen_) Move(lists_[kOpenList].tail, kClosedList);
  while (lists_[kTemporaryList].count > kMaxOpenTemporary) Remove(lists_[kTemporaryList].tail);
  while (lists_[kClosedList].count > kMaxClosed) Remove(lists_[kClosedList].tail);
  const size_t live = records_.size() - lists_[kFree].count;
  if (byNode_.size() <= 2 * live + kMaxStaleNodes) return;
  std::erase_if(byNode_, [this](const auto& entry) {
    const Record& record = records_[entry.second.index];
    return record.generation != entry.second.generation || record.list == kFree;
  });
}

/// Blobs are named by their digest, so most of a path is known already: keep the rest only, once.
void BlobTable::KeepPath(Record* record, const std::string& path) {
  const std::string hex = FormatDigest(record->name);
  size_t digits = 0;
  while (digits < hex.size() && digits < path.size() &&
         path[path.size() - 1 - digits] == hex[hex.size() - 1 - digits]) {
    digits++;
  }
  const std::string prefix = path.substr(0, path.size() - digits);
  const auto [entry, isNew] =
      prefixIds_.try_emplace(prefix, static_cast<uint32_t>(prefixes_.size()));
  if (isNew) prefixes_.push_back(prefix);
  record->prefix = entry->second;
  record->suffixDigits = static_cast<uint8_t>(digits);
}

std::string BlobTable::PathOf(const Record& record) const {
  return prefixes_[record.prefix] +
         FormatDigest(record.name).substr(record.name.size() * 2 - record.suffixDigits);
}

}  // namespace refmount
