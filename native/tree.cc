#include "tree.h"

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "crc.h"

namespace refmount {
namespace {

static_assert(std::endian::native == std::endian::little, "the index is mapped as it is");

constexpr char kMagic[8] = {'R', 'F', 'M', 'I', 'D', 'X', '0', '1'};
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 128;
constexpr size_t kRecordBytes = 48;
constexpr size_t kCheckedRecordBytes = 44;
constexpr size_t kNameMaxBytes = 255;
constexpr uint8_t kDirectory = 1;
constexpr uint8_t kFile = 2;
constexpr uint8_t kSizeUnknown = 1;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t headerCrc;
  uint64_t nodeCount;
  uint64_t fileCount;
  uint64_t totalBytes;
  uint64_t nodesOffset;
  uint64_t namesOffset;
  uint64_t namesBytes;
  uint8_t manifest[32];
  int64_t rootMtimeMs;
  uint8_t zero[24];
};
static_assert(sizeof(Header) == kHeaderBytes);

struct Record {
  uint64_t sizeBytes;
  int64_t mtimeMs;
  uint64_t nameOffset;
  uint32_t parent;
  uint32_t firstChild;
  uint32_t childCount;
  uint16_t nameBytes;
  uint8_t kind;
  uint8_t flags;
  uint32_t subdirCount;
  uint32_t crc;
};
static_assert(sizeof(Record) == kRecordBytes);
static_assert(offsetof(Record, crc) == kCheckedRecordBytes);

Failure Damaged(std::string detail) {
  return Failure{EIO, "index", {}, "the inode index is damaged: " + std::move(detail)};
}

/// Whether the structure that the record claims can exist in a tree of `nodeCount` nodes.
bool Plausible(const Record& record, uint64_t id, uint64_t nodeCount) {
  if (record.kind != kDirectory && record.kind != kFile) return false;
  if ((id == 1) != (record.nameBytes == 0) || record.nameBytes > kNameMaxBytes) return false;
  if (id == 1 ? record.parent != 1 || record.kind != kDirectory
              : record.parent < 1 || record.parent >= id) {
    return false;
  }
  if (record.kind == kFile) return record.childCount == 0 && record.firstChild == 0;
  if (record.childCount == 0) return record.firstChild == 0 && record.subdirCount == 0;
  // Ids grow with depth, so children come after their parent: a walk always ends.
  return record.firstChild > id && record.firstChild <= nodeCount &&
         record.childCount <= nodeCount - record.firstChild + 1 &&
         record.subdirCount <= record.childCount;
}

int HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

}  // namespace

bool ParseDigest(std::string_view hex, Digest* out) {
  if (hex.size() != out->size() * 2) return false;
  for (size_t i = 0; i < out->size(); i++) {
    const int high = HexDigit(hex[2 * i]);
    const int low = HexDigit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    (*out)[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

std::string FormatDigest(const Digest& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(digest.size() * 2);
  for (const uint8_t byte : digest) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

Result<Tree> Tree::Open(const std::string& path, const Digest& manifest) {
  Result<MappedFile> file = MappedFile::Open(path);
  if (!file.ok()) return file.failure();
  Result<Tree> tree = Parse(file.value().bytes(), manifest);
  if (!tree.ok()) {
    tree.failure().path = path;
    return tree;
  }
  tree.value().file_ = std::move(file.value());
  return tree;
}

Result<Tree> Tree::Parse(std::span<const uint8_t> bytes, const Digest& manifest) {
  Header header;
  if (bytes.size() < sizeof(header)) return Damaged("shorter than its header");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) return Damaged("not an index");
  if (header.version != kVersion) return Damaged("its version is unknown");
  const uint32_t crc = std::exchange(header.headerCrc, 0);
  if (Crc32c(0, &header, sizeof(header)) != crc) return Damaged("its header's checksum is wrong");
  if (std::memcmp(header.manifest, manifest.data(), manifest.size()) != 0) {
    return Failure{ESTALE, "index", {}, "the inode index belongs to another manifest"};
  }
  const uint64_t size = bytes.size();
  if (header.nodeCount == 0 || header.nodeCount > UINT32_MAX ||
      header.nodesOffset != kHeaderBytes || header.namesOffset > size ||
      header.namesBytes != size - header.namesOffset ||
      header.namesOffset < kHeaderBytes + header.nodeCount * kRecordBytes) {
    return Damaged("its size does not match its header");
  }
  Tree tree;
  tree.nodeCount_ = header.nodeCount;
  tree.totalBytes_ = header.totalBytes;
  tree.nodes_ = bytes.subspan(kHeaderBytes, header.nodeCount * kRecordBytes);
  tree.names_ = bytes.subspan(header.namesOffset, header.namesBytes);
  Node root;
  if (tree.Get(1, &root) != 0) return Damaged("its root is wrong");
  return tree;
}

int Tree::Get(uint64_t id, Node* out) const {
  if (id < 1 || id > nodeCount_) return ENOENT;
  Record record;
  std::memcpy(&record, nodes_.data() + kRecordBytes * (id - 1), sizeof(record));
  if (record.nameOffset > names_.size() || record.nameBytes > names_.size() - record.nameOffset) {
    return EIO;
  }
  const auto name = names_.subspan(record.nameOffset, record.nameBytes);
  uint32_t crc = Crc32c(0, &record, kCheckedRecordBytes);
  crc = Crc32c(crc, &id, sizeof(id));
  crc = Crc32c(crc, name.data(), name.size());
  if (crc != record.crc || !Plausible(record, id, nodeCount_)) return EIO;
  *out = Node{.id = id,
              .sizeBytes = record.sizeBytes,
              .mtimeMs = record.mtimeMs,
              .parent = record.parent,
              .firstChild = record.firstChild,
              .childCount = record.childCount,
              .subdirCount = record.subdirCount,
              .directory = record.kind == kDirectory,
              .sizeUnknown = (record.flags & kSizeUnknown) != 0,
              .name = {reinterpret_cast<const char*>(name.data()), name.size()}};
  return 0;
}

int Tree::GetChild(const Node& directory, uint64_t id, Node* out) const {
  const int error = Get(id, out);
  if (error != 0) return EIO;
  return out->parent == directory.id ? 0 : EIO;
}

int Tree::Find(const Node& directory, std::string_view name, Node* out) const {
  uint64_t low = directory.firstChild;
  uint64_t high = directory.firstChild + directory.childCount;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (GetChild(directory, middle, out) != 0) return FindBySteps(directory, low, high, name, out);
    // std::string_view compares as unsigned bytes, as the index is sorted.
    const int order = out->name.compare(name);
    if (order == 0) return 0;
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return ENOENT;
}

int Tree::FindBySteps(const Node& directory, uint64_t low, uint64_t high, std::string_view name,
                      Node* out) const {
  for (uint64_t id = low; id < high; id++) {
    if (GetChild(directory, id, out) == 0 && out->name == name) return 0;
  }
  // It may be the damaged one.
  return EIO;
}

}  // namespace refmount
