// The kernel's FUSE protocol as bytes: constants and structs, written from its documentation since
// distributions ship older headers. Knows nothing of refmount.

#pragma once

#include <sys/ioctl.h>

#include <cstdint>

namespace refmount::wire {

constexpr uint32_t kMajor = 7;
/// The newest minor version whose additions are used here (7.40: passthrough, resend).
constexpr uint32_t kMinor = 40;
/// The oldest kernel spoken to (Linux 5.4): everything before lacks the caches relied upon.
constexpr uint32_t kOldestMinor = 31;

constexpr uint64_t kRootNode = 1;
/// Set in `unique` of a request that was sent to an earlier reader and is sent again.
constexpr uint64_t kResent = uint64_t{1} << 63;
/// Names are at most this long in any Linux file system, and so in the index.
constexpr uint32_t kNameMax = 255;

enum Opcode : uint32_t {
  kLookup = 1,
  kForget = 2,
  kGetattr = 3,
  kSetattr = 4,
  kReadlink = 5,
  kSymlink = 6,
  kMknod = 8,
  kMkdir = 9,
  kUnlink = 10,
  kRmdir = 11,
  kRename = 12,
  kLink = 13,
  kOpen = 14,
  kRead = 15,
  kWrite = 16,
  kStatfs = 17,
  kRelease = 18,
  kFsync = 20,
  kSetxattr = 21,
  kGetxattr = 22,
  kListxattr = 23,
  kRemovexattr = 24,
  kFlush = 25,
  kInit = 26,
  kOpendir = 27,
  kReaddir = 28,
  kReleasedir = 29,
  kFsyncdir = 30,
  kAccess = 34,
  kCreate = 35,
  kInterrupt = 36,
  kDestroy = 38,
  kIoctl = 39,
  kNotifyReply = 41,
  kBatchForget = 42,
  kFallocate = 43,
  kReaddirplus = 44,
  kRename2 = 45,
  kLseek = 46,
  kCopyFileRange = 47,
  kTmpfile = 51,
  kStatx = 52,
};

// INIT flags; those from bit 32 on travel in flags2.
constexpr uint64_t kAsyncRead = uint64_t{1} << 0;
constexpr uint64_t kExportSupport = uint64_t{1} << 4;
constexpr uint64_t kAutoInvalData = uint64_t{1} << 12;
constexpr uint64_t kDoReaddirplus = uint64_t{1} << 13;
constexpr uint64_t kReaddirplusAuto = uint64_t{1} << 14;
constexpr uint64_t kAsyncDio = uint64_t{1} << 15;
constexpr uint64_t kNoOpenSupport = uint64_t{1} << 17;
constexpr uint64_t kParallelDirops = uint64_t{1} << 18;
constexpr uint64_t kAbortError = uint64_t{1} << 21;
constexpr uint64_t kMaxPages = uint64_t{1} << 22;
constexpr uint64_t kCacheSymlinks = uint64_t{1} << 23;
constexpr uint64_t kNoOpendirSupport = uint64_t{1} << 24;
constexpr uint64_t kExplicitInvalData = uint64_t{1} << 25;
constexpr uint64_t kInitExt = uint64_t{1} << 30;
constexpr uint64_t kPassthrough = uint64_t{1} << 37;
constexpr uint64_t kHasResend = uint64_t{1} << 39;

constexpr uint32_t kFopenKeepCache = 1u << 1;
constexpr uint32_t kFopenCacheDir = 1u << 3;
constexpr uint32_t kFopenPassthrough = 1u << 7;

/// GETATTR on behalf of an open file (a read beyond the known end), not of a stat.
constexpr uint32_t kGetattrFh = 1u << 0;

constexpr int32_t kNotifyResend = 7;

struct InHeader {
  uint32_t len;
  uint32_t opcode;
  uint64_t unique;
  uint64_t nodeid;
  uint32_t uid;
  uint32_t gid;
  uint32_t pid;
  uint16_t total_extlen;  // in units of 8 bytes
  uint16_t padding;
};
static_assert(sizeof(InHeader) == 40);

struct OutHeader {
  uint32_t len;
  int32_t error;
  uint64_t unique;
};
static_assert(sizeof(OutHeader) == 16);

struct InitIn {
  uint32_t major;
  uint32_t minor;
  uint32_t max_readahead;
  uint32_t flags;
  uint32_t flags2;
  uint32_t unused[11];
};
static_assert(sizeof(InitIn) == 64);
/// What kernels before 7.36 send of InitIn.
constexpr uint32_t kShortInitInBytes = 16;

struct InitOut {
  uint32_t major;
  uint32_t minor;
  uint32_t max_readahead;
  uint32_t flags;
  uint16_t max_background;
  uint16_t congestion_threshold;
  uint32_t max_write;
  uint32_t time_gran;
  uint16_t max_pages;
  uint16_t map_alignment;
  uint32_t flags2;
  uint32_t max_stack_depth;
  uint16_t request_timeout;
  uint16_t unused[11];
};
static_assert(sizeof(InitOut) == 64);

struct Attr {
  uint64_t ino;
  uint64_t size;
  uint64_t blocks;
  uint64_t atime;
  uint64_t mtime;
  uint64_t ctime;
  uint32_t atimensec;
  uint32_t mtimensec;
  uint32_t ctimensec;
  uint32_t mode;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint32_t rdev;
  uint32_t blksize;
  uint32_t flags;
};
static_assert(sizeof(Attr) == 88);

struct AttrOut {
  uint64_t attr_valid;
  uint32_t attr_valid_nsec;
  uint32_t dummy;
  Attr attr;
};
static_assert(sizeof(AttrOut) == 104);

struct EntryOut {
  uint64_t nodeid;
  uint64_t generation;
  uint64_t entry_valid;
  uint64_t attr_valid;
  uint32_t entry_valid_nsec;
  uint32_t attr_valid_nsec;
  Attr attr;
};
static_assert(sizeof(EntryOut) == 128);

struct Dirent {
  uint64_t ino;
  uint64_t off;
  uint32_t namelen;
  uint32_t type;
};
static_assert(sizeof(Dirent) == 24);

struct GetattrIn {
  uint32_t getattr_flags;
  uint32_t dummy;
  uint64_t fh;
};

struct OpenIn {
  uint32_t flags;
  uint32_t open_flags;
};

struct OpenOut {
  uint64_t fh;
  uint32_t open_flags;
  int32_t backing_id;
};
static_assert(sizeof(OpenOut) == 16);

struct ReadIn {
  uint64_t fh;
  uint64_t offset;
  uint32_t size;
  uint32_t read_flags;
  uint64_t lock_owner;
  uint32_t flags;
  uint32_t padding;
};
static_assert(sizeof(ReadIn) == 40);

struct AccessIn {
  uint32_t mask;
  uint32_t padding;
};

struct GetxattrIn {
  uint32_t size;
  uint32_t padding;
};

struct GetxattrOut {
  uint32_t size;
  uint32_t padding;
};

struct InterruptIn {
  uint64_t unique;
};

struct StatfsOut {
  uint64_t blocks;
  uint64_t bfree;
  uint64_t bavail;
  uint64_t files;
  uint64_t ffree;
  uint32_t bsize;
  uint32_t namelen;
  uint32_t frsize;
  uint32_t padding;
  uint32_t spare[6];
};
static_assert(sizeof(StatfsOut) == 80);

struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
static_assert(sizeof(BackingMap) == 16);

constexpr unsigned long kIocBackingOpen = _IOW(229, 1, BackingMap);
constexpr unsigned long kIocBackingClose = _IOW(229, 2, uint32_t);

}  // namespace refmount::wire
