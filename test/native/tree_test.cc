// The inode index: lookups, listings and attributes on a right one; errors, never other files, on
// damaged and hostile ones.

#include "../../native/tree.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

#include "../../native/metadata.h"
#include "check.h"
#include "index_bytes.h"

namespace refmount {
namespace {

using Bytes = std::vector<uint8_t>;
const Owner kOwner{1000, 1001};

/// Parses from memory of exactly this size, so that reading beyond it is found by the sanitizer.
Result<Tree> Parse(const Bytes& bytes, std::unique_ptr<uint8_t[]>* held) {
  *held = std::make_unique_for_overwrite<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), held->get());
  return Tree::Parse({held->get(), bytes.size()}, TestManifest());
}

/// Asks everything of a tree that may be damaged; the answers do not matter, surviving does.
void Walk(const Tree& tree) {
  uint8_t buffer[4096];
  for (uint64_t id = 0; id <= tree.nodeCount() + 1; id++) {
    Node node, found;
    if (tree.Get(id, &node) != 0) continue;
    LookUp(tree, id, "a", &found);
    LookUp(tree, id, "..", &found);
    DescribeNode(node, kOwner, std::nullopt);
    for (uint64_t offset = 0; offset < 9; offset++) {
      DirentPacker packer(buffer);
      ListDirectory(tree, node, offset, true, kOwner, &packer);
    }
    DirentPacker packer(buffer);
    ListDirectory(tree, node, UINT64_MAX, true, kOwner, &packer);
  }
}

void FindsAndDescribes() {
  std::unique_ptr<uint8_t[]> held;
  Result<Tree> parsed = Parse(IndexBytes(TestTree()), &held);
  CHECK(parsed.ok());
  if (!parsed.ok()) return;
  const Tree& tree = parsed.value();
  Node node;
  CHECK(tree.nodeCount() == 5 && tree.Get(0, &node) == ENOENT && tree.Get(6, &node) == ENOENT);
  CHECK(LookUp(tree, 1, "file", &node) == 0 && node.id == 3 && node.sizeBytes == 10);
  const wire::Attr file = DescribeNode(node, kOwner, std::nullopt).attr;
  CHECK(file.mode == (S_IFREG | 0444) && file.size == 10 && file.blocks == 1 && file.nlink == 1);
  CHECK(file.mtime == static_cast<uint64_t>(-2) && file.mtimensec == 500'000'000);
  CHECK(file.uid == 1000 && file.gid == 1001 && file.ino == 3);

  CHECK(LookUp(tree, 1, "fil", &node) == ENOENT && LookUp(tree, 1, "file2", &node) == ENOENT);
  CHECK(LookUp(tree, 1, "", &node) == ENOENT && LookUp(tree, 1, "a", &node) == ENOENT);
  CHECK(LookUp(tree, 3, "x", &node) == ENOTDIR && LookUp(tree, 99, "x", &node) == ENOENT);
  CHECK(LookUp(tree, 1, std::string(256, 'n'), &node) == ENAMETOOLONG);
  CHECK(LookUp(tree, 5, ".", &node) == 0 && node.id == 5);
  CHECK(LookUp(tree, 2, "..", &node) == 0 && node.id == 1);
  CHECK(DescribeNode(node, kOwner, std::nullopt).attr.nlink == 3);

  CHECK(LookUp(tree, 2, "a", &node) == 0 && node.sizeUnknown);
  CHECK(DescribeEntry(node, kOwner, std::nullopt).attr_valid == 0);
  CHECK(DescribeEntry(node, kOwner, 77).attr_valid > 0);
  CHECK(DescribeEntry(node, kOwner, 77).attr.size == 77);
}

void ListsWithStableOffsets() {
  std::unique_ptr<uint8_t[]> held;
  Result<Tree> parsed = Parse(IndexBytes(TestTree()), &held);
  const Tree& tree = parsed.value();
  Node root;
  CHECK(tree.Get(1, &root) == 0);
  // One entry at a time, each from the offset of the one before.
  uint64_t offset = 0;
  std::string seen;
  for (int i = 0; i < 5; i++) {
    uint8_t buffer[32];
    DirentPacker packer(buffer);
    CHECK(ListDirectory(tree, root, offset, false, kOwner, &packer) == 0);
    if (packer.size() == 0) break;
    wire::Dirent dirent;
    std::memcpy(&dirent, buffer, sizeof(dirent));
    seen += std::string(reinterpret_cast<char*>(buffer) + sizeof(dirent), dirent.namelen) + " ";
    offset = dirent.off;
  }
  CHECK(seen == ". .. dir file ");
  uint8_t tooSmall[24];
  DirentPacker packer(tooSmall);
  CHECK(ListDirectory(tree, root, 0, false, kOwner, &packer) == 0 && packer.size() == 0);
}

void RefusesDamagedHeaders() {
  const Bytes whole = IndexBytes(TestTree());
  std::unique_ptr<uint8_t[]> held;
  for (size_t size = 0; size < whole.size(); size++) {
    CHECK(!Parse(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)), &held).ok());
  }
  for (size_t at = 0; at < 128; at++) {
    Bytes bytes = whole;
    bytes[at] ^= 0x40;
    CHECK(!Parse(bytes, &held).ok());
  }
  Bytes longer = whole;
  longer.push_back(0);
  CHECK(!Parse(longer, &held).ok());
  // Right checksum, absurd counts and offsets.
  for (const size_t at : {16u, 40u, 48u, 56u}) {
    for (const uint64_t value : {uint64_t{0}, uint64_t{6}, uint64_t{1} << 40, UINT64_MAX,
                                 UINT64_MAX / 48 + 1, uint64_t{1} << 63}) {
      Bytes bytes = whole;
      Put(&bytes, at, &value, sizeof(value));
      SealHeader(&bytes);
      const Result<Tree> parsed = Parse(bytes, &held);
      CHECK(!parsed.ok());
    }
  }
  Digest other = TestManifest();
  other[0] ^= 1;
  CHECK(!Tree::Parse(whole, other).ok());
}

void FlippedBitsAreErrorsNotOtherFiles() {
  const Bytes whole = IndexBytes(TestTree());
  for (size_t at = 128; at < whole.size(); at++) {
    Bytes bytes = whole;
    bytes[at] ^= 0x01;
    std::unique_ptr<uint8_t[]> held;
    Result<Tree> parsed = Parse(bytes, &held);
    if (!parsed.ok()) continue;
    Walk(parsed.value());
    Node node;
    const int error = LookUp(parsed.value(), 2, "b", &node);
    CHECK(error == EIO || error == ENOENT ||
          (error == 0 && node.id == 5 && node.sizeBytes == uint64_t{5} << 30));
    // A name of the manifest is never told to be absent.
    CHECK(error != ENOENT);
  }
}

void DamagedRecordsHideNoOtherName() {
  std::vector<TestRecord> records = {{.firstChild = 2, .childCount = 9, .kind = 1}};
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g", "h", "i"}) {
    records.push_back({.parent = 1, .name = name});
  }
  const Bytes whole = IndexBytes(records);
  for (uint64_t damaged = 2; damaged <= 10; damaged++) {
    Bytes bytes = whole;
    bytes[128 + 48 * (damaged - 1)] ^= 0x01;
    std::unique_ptr<uint8_t[]> held;
    Result<Tree> parsed = Parse(bytes, &held);
    CHECK(parsed.ok());
    Node node;
    for (uint64_t id = 2; id <= 10; id++) {
      const std::string name(1, static_cast<char>('a' + id - 2));
      const int error = LookUp(parsed.value(), 1, name, &node);
      CHECK(id == damaged ? error == EIO : error == 0 && node.id == id);
    }
  }
}

void SurvivesHostileStructure() {
  // Checksums are right in all of these: somebody wrote the file on purpose.
  std::vector<std::vector<TestRecord>> trees(8, TestTree());
  trees[0][1].firstChild = 1;           // its own ancestor
  trees[1][1].childCount = UINT32_MAX;  // far beyond the end
  trees[2][1].firstChild = UINT32_MAX;
  trees[3][3].parent = 1;  // a child of somebody else
  trees[4][2].kind = 7;
  trees[5][2].childCount = 2;  // a file with children
  trees[5][2].firstChild = 4;
  trees[6][3].name = std::string(300, 'x');
  trees[7][4].parent = 5;  // its own parent
  for (const auto& records : trees) {
    std::unique_ptr<uint8_t[]> held;
    Result<Tree> parsed = Parse(IndexBytes(records), &held);
    CHECK(parsed.ok());
    if (parsed.ok()) Walk(parsed.value());
  }
  std::vector<TestRecord> rootless = TestTree();
  rootless[0].kind = 2;
  std::unique_ptr<uint8_t[]> held;
  CHECK(!Parse(IndexBytes(rootless), &held).ok());
  Node node;
  Result<Tree> stranger = Parse(IndexBytes(trees[3]), &held);
  CHECK(LookUp(stranger.value(), 2, "a", &node) == EIO);
}

void SurvivesTruncationWhileMapped() {
  char path[] = "/tmp/refmount-tree-XXXXXX";
  const int fd = mkstemp(path);
  std::vector<TestRecord> records = TestTree();
  const Bytes bytes = IndexBytes(records);
  CHECK(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  Result<Tree> tree = Tree::Open(path, TestManifest());
  CHECK(tree.ok());
  Node node;
  CHECK(tree.ok() && tree.value().Get(3, &node) == 0);
  CHECK(ftruncate(fd, 0) == 0);
  CHECK(tree.value().Get(3, &node) == EIO);
  CHECK(LookUp(tree.value(), 1, "file", &node) == EIO);
  close(fd);
  unlink(path);
  CHECK(!Tree::Open(path, TestManifest()).ok());
}

}  // namespace
}  // namespace refmount

int main() {
  refmount::FindsAndDescribes();
  refmount::ListsWithStableOffsets();
  refmount::RefusesDamagedHeaders();
  refmount::FlippedBitsAreErrorsNotOtherFiles();
  refmount::DamagedRecordsHideNoOtherName();
  refmount::SurvivesHostileStructure();
  refmount::SurvivesTruncationWhileMapped();
  return CheckResult();
}
