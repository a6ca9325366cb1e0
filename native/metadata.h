// Answers about names and attributes, from the inode index alone: no I/O but the index, no state.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol.h"
#include "tree.h"

namespace refmount {

/// User and group of every node.
struct Owner {
  uint32_t uid;
  uint32_t gid;
};

/// Attributes as the kernel caches them for ever; those of a file whose size nobody knows yet (pass
/// `learnedSize` when it is) are not cached.
wire::AttrOut DescribeNode(const Node& node, const Owner& owner,
                           std::optional<uint64_t> learnedSize);
/// The same as a directory entry.
wire::EntryOut DescribeEntry(const Node& node, const Owner& owner,
                             std::optional<uint64_t> learnedSize);
/// "No such name", to be cached for ever.
wire::EntryOut DescribeAbsence();
wire::StatfsOut DescribeFileSystem(const Tree& tree);

/// Finds `name` in the node `parent`, "." and ".." included. Returns 0 or a positive errno.
int LookUp(const Tree& tree, uint64_t parent, std::string_view name, Node* out);

/// Packs the entries of `directory` from `offset` on: 0 starts with ".", and the offset after an
/// entry is 1 for ".", 2 for ".." and its node id + 1 for a child, so that it never changes.
/// Returns 0 or EIO.
int ListDirectory(const Tree& tree, const Node& directory, uint64_t offset, bool plus,
                  const Owner& owner, DirentPacker* packer);

constexpr std::string_view kXattrPrefix = "user.refmount.";
constexpr std::string_view kStateXattr = "user.refmount.state";
/// Names of the node's extended attributes, each with its zero byte. `failed` adds the error's.
std::string XattrNames(const Node& node, bool failed);

}  // namespace refmount
