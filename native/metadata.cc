#include "metadata.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace refmount {
namespace {

/// As long as the kernel can count: nothing in a mount ever changes.
constexpr uint64_t kEternalSeconds = INT64_MAX;
constexpr uint32_t kStatBlockBytes = 512;
constexpr uint32_t kPreferredIoBytes = 4096;

/// Whole seconds at or before a time, and the nanoseconds from there on.
void SplitTime(int64_t ms, uint64_t* seconds, uint32_t* nanoseconds) {
  int64_t whole = ms / 1000;
  int64_t rest = ms % 1000;
  if (rest < 0) {
    whole--;
    rest += 1000;
  }
  *seconds = static_cast<uint64_t>(whole);
  *nanoseconds = static_cast<uint32_t>(rest * 1'000'000);
}

wire::Attr Describe(const Node& node, const Owner& owner, uint64_t size) {
  wire::Attr attr{};
  attr.ino = node.id;
  attr.size = node.directory ? 0 : size;
  attr.blocks = attr.size / kStatBlockBytes + (attr.size % kStatBlockBytes != 0 ? 1 : 0);
  SplitTime(node.mtimeMs, &attr.mtime, &attr.mtimensec);
  attr.atime = attr.ctime = attr.mtime;
  attr.atimensec = attr.ctimensec = attr.mtimensec;
  attr.mode = node.directory ? S_IFDIR | 0555 : S_IFREG | 0444;
  attr.nlink = node.directory ? 2 + node.subdirCount : 1;
  attr.uid = owner.uid;
  attr.gid = owner.gid;
  attr.blksize = kPreferredIoBytes;
  return attr;
}

uint64_t AttrSeconds(const Node& node, std::optional<uint64_t> learnedSize) {
  return node.sizeUnknown && !learnedSize ? 0 : kEternalSeconds;
}

uint64_t SizeOf(const Node& node, std::optional<uint64_t> learnedSize) {
  return node.sizeUnknown ? learnedSize.value_or(0) : node.sizeBytes;
}

}  // namespace

wire::AttrOut DescribeNode(const Node& node, const Owner& owner,
                           std::optional<uint64_t> learnedSize) {
  wire::AttrOut out{};
  out.attr_valid = AttrSeconds(node, learnedSize);
  out.attr = Describe(node, owner, SizeOf(node, learnedSize));
  return out;
}

wire::EntryOut DescribeEntry(const Node& node, const Owner& owner,
                             std::optional<uint64_t> learnedSize) {
  wire::EntryOut out{};
  out.nodeid = node.id;
  out.entry_valid = kEternalSeconds;
  out.attr_valid = AttrSeconds(node, learnedSize);
  out.attr = Describe(node, owner, SizeOf(node, learnedSize));
  return out;
}

wire::EntryOut DescribeAbsence() {
  wire::EntryOut out{};
  out.entry_valid = kEternalSeconds;
  return out;
}

wire::StatfsOut DescribeFileSystem(const Tree& tree) {
  wire::StatfsOut out{};
  out.bsize = kPreferredIoBytes;
  out.frsize = kPreferredIoBytes;
  out.blocks =
      tree.totalBytes() / kPreferredIoBytes + (tree.totalBytes() % kPreferredIoBytes != 0 ? 1 : 0);
  out.files = tree.nodeCount();
  out.namelen = wire::kNameMax;
  return out;
}

int LookUp(const Tree& tree, uint64_t parent, std::string_view name, Node* out) {
  if (name.size() > wire::kNameMax) return ENAMETOOLONG;
  Node directory;
  if (const int error = tree.Get(parent, &directory)) return error;
  // Asked when an NFS server or open_by_handle_at comes back for a node.
  if (name == ".") return tree.Get(parent, out);
  if (name == "..") return tree.Get(directory.parent, out);
  if (!directory.directory) return ENOTDIR;
  return tree.Find(directory, name, out);
}

int ListDirectory(const Tree& tree, const Node& directory, uint64_t offset, bool plus,
                  const Owner& owner, DirentPacker* packer) {
  const wire::EntryOut unreferenced{};
  const wire::EntryOut* dots = plus ? &unreferenced : nullptr;
  if (offset == 0) {
    if (!packer->Add(dots, directory.id, 1, DT_DIR, ".")) return 0;
    offset = 1;
  }
  if (offset == 1) {
    if (!packer->Add(dots, directory.parent, 2, DT_DIR, "..")) return 0;
    offset = 2;
  }
  const uint64_t end = directory.firstChild + directory.childCount;
  for (uint64_t id = std::max(offset, directory.firstChild); id < end; id++) {
    Node child;
    if (const int error = tree.GetChild(directory, id, &child)) {
      // What was packed is right; the error meets whoever reads on.
      return packer->size() > 0 ? 0 : error;
    }
    const uint32_t type = child.directory ? DT_DIR : DT_REG;
    bool fits;
    if (plus) {
      const wire::EntryOut entry = DescribeEntry(child, owner, std::nullopt);
      fits = packer->Add(&entry, id, id + 1, type, child.name);
    } else {
      fits = packer->Add(nullptr, id, id + 1, type, child.name);
    }
    if (!fits) return packer->size() > 0 ? 0 : EINVAL;
  }
  return 0;
}

std::string XattrNames(const Node& node, bool failed) {
  std::string names;
  const auto add = [&](std::string_view name) {
    names += kXattrPrefix;
    names += name;
    names += '\0';
  };
  if (!node.directory) {
    for (const std::string_view name : {"uri", "pin", "digest", "sha256", "assurance"}) add(name);
  }
  add("state");
  if (failed) add("error");
  return names;
}

}  // namespace refmount
