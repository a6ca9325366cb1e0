// Requests that need a blob: READ, OPEN in passthrough mode, and GETATTR of files whose size only
// the blob tells. They are answered at once, or parked until the blob is provided.

#include <algorithm>
#include <utility>

#include "session.h"

namespace refmount {
namespace {

/// Parked requests that one turn of a reply thread answers, and bytes it re-checks, before others
/// get theirs.
constexpr size_t kBatchRequests = 64;
constexpr uint64_t kBatchVerifyBytes = 32 << 20;

/// ENOSYS and ENOTSUP would tell the kernel something about the file system; beyond 511 it takes
/// the whole reply as malformed.
int ReaderErrno(int errorNumber) {
  const bool speaks = errorNumber > 0 && errorNumber < 512 && errorNumber != ENOSYS;
  return speaks ? errorNumber : EIO;
}

}  // namespace

void Session::ServeOrPark(Pending pending, uint8_t* buffer) {
  const auto look = [&] {
    if (pending.kind == Pending::kOpen && modes_->Settled(pending.node)) {
      return ParkedRequests::Found::kEnough;
    }
    if (!blobs_.Known(pending.node)) return ParkedRequests::Found::kNothing;
    return pending.kind == Pending::kOpen ? ParkedRequests::Found::kBlobToPrepare
                                          : ParkedRequests::Found::kEnough;
  };
  while (true) {
    const Served served = Serve(pending, buffer);
    if (served == Served::kAnswered) return;
    if (served == Served::kDamaged && ++pending.timesDamaged >= 2) {
      ReplyError(pending.device, pending.unique, EIO);
      return;
    }
    switch (parked_.Park(pending, look)) {
      case ParkedRequests::Next::kParked:
        return;
      case ParkedRequests::Next::kAskForBlob:
        upcalls_->OnFill(pending.node);
        return;
      case ParkedRequests::Next::kDrain:
        QueueDrain(pending.node, {});
        return;
      case ParkedRequests::Next::kInterrupted:
        ReplyError(pending.device, pending.unique, EINTR);
        return;
      case ParkedRequests::Next::kTryAgain:
        break;
    }
  }
}

Session::Served Session::Serve(const Pending& pending, uint8_t* buffer) {
  Node node;
  int error = tree_.Get(pending.node, &node);
  if (error == 0 && node.directory) error = EISDIR;
  if (error != 0) {
    ReplyError(pending.device, pending.unique, error);
    return Served::kAnswered;
  }
  switch (pending.kind) {
    case Pending::kRead:
      return ServeRead(pending, node, buffer);
    case Pending::kOpen:
      return ServeOpen(pending, node);
    case Pending::kGetattr: {
      const auto size = blobs_.SizeOf(node.id);
      if (!size) return Served::kMissing;
      ReplyStruct(pending.device, pending.unique, DescribeNode(node, config_.owner, size));
      return Served::kAnswered;
    }
  }
  return Served::kMissing;
}

Session::Served Session::ServeRead(const Pending& pending, const Node& node, uint8_t* buffer) {
  const auto size = node.sizeUnknown ? blobs_.SizeOf(node.id) : node.sizeBytes;
  if (!size) return Served::kMissing;
  if (pending.size > kMaxReadBytes) {
    // More than was negotiated; a shorter answer would mean the end of the file.
    ReplyError(pending.device, pending.unique, EINVAL);
    return Served::kAnswered;
  }
  if (pending.offset >= *size || pending.size == 0) {
    Reply(pending.device, pending.unique, {});
    return Served::kAnswered;
  }
  const auto length =
      static_cast<uint32_t>(std::min<uint64_t>(pending.size, *size - pending.offset));
  const auto file = blobs_.Acquire(node.id);
  if (file == nullptr) return Served::kMissing;
  const auto bytes = file->Read(pending.offset, length, buffer);
  if (bytes.empty()) {
    DropDamaged(node.id, *file);
    return Served::kDamaged;
  }
  if (Reply(pending.device, pending.unique, bytes)) readBytes_ += length;
  return Served::kAnswered;
}

Session::Served Session::ServeOpen(const Pending& pending, const Node& node) {
  // An empty file has nothing to pass through.
  if (!node.sizeUnknown && node.sizeBytes == 0) modes_->Refuse(node.id);
  const bool answered =
      modes_->Open(node.id, pending.unique, [&](uint32_t openFlags, int32_t backingId) {
        return ReplyStruct(pending.device, pending.unique, wire::OpenOut{0, openFlags, backingId});
      });
  return answered ? Served::kAnswered : Served::kMissing;
}

void Session::DropDamaged(uint64_t node, const BlobFile& file) {
  // Of several readers that see the damage, one reports it.
  if (!blobs_.Drop(file)) return;
  damaged_++;
  upcalls_->OnDamage(node, file.name());
}

void Session::QueueDrain(uint64_t node, Verification verification) {
  queue_->Add([this, node, verification = std::move(verification)](uint8_t* buffer) {
    Drain(node, verification, buffer);
  });
}

void Session::Drain(uint64_t node, Verification verification, uint8_t* buffer) {
  const bool preparing = modes_ != nullptr && parked_.HasOpen(node) && !modes_->Settled(node);
  if (preparing && !Prepare(node, &verification, buffer)) return;
  const bool opensToo = modes_ == nullptr || modes_->Settled(node);
  const auto [requests, done] = parked_.TakeBatch(node, kBatchRequests, opensToo);
  if (done) {
    // The OPEN that a doomed backing file was made for may have been interrupted.
    if (modes_ != nullptr) modes_->CloseUnused(node);
    return;
  }
  for (size_t i = 0; i < requests.size(); i++) {
    const Served served = Serve(requests[i], buffer);
    if (served == Served::kAnswered) continue;
    const std::vector<Pending> unserved(requests.begin() + static_cast<ptrdiff_t>(i),
                                        requests.end());
    return SetBack(node, unserved, served == Served::kDamaged);
  }
  QueueDrain(node, std::move(verification));
}

/// One step towards a backing file: checks a part of the blob, or hands it to the kernel when all
/// is checked, since nobody checks what the kernel reads by itself. False when there is no blob to
/// go on with and the node's requests were sent back to wait.
bool Session::Prepare(uint64_t node, Verification* verification, uint8_t* buffer) {
  if (verification->file == nullptr) verification->file = blobs_.Acquire(node);
  const auto& file = verification->file;
  if (file == nullptr) {
    SetBack(node, {}, false);
    return false;
  }
  if (!file->Verify(verification->offset, kBatchVerifyBytes, buffer)) {
    DropDamaged(node, *file);
    SetBack(node, {}, true);
    return false;
  }
  verification->offset += kBatchVerifyBytes;
  if (verification->offset < file->sizeBytes()) return true;
  modes_->Back(node, file->fd(), file->name());
  // A blob that has no place in the cache, or lost it meanwhile: the kernel must not keep its space
  // until the unmount. `Forget` takes a blob out of the table first and out of the modes second, so
  // that one of the two sees the other.
  if (!blobs_.Lasting(node)) {
    modes_->Doom(node);
    // The kernel has it open from here on. A size that only the blob tells is still needed.
    Node known;
    if (tree_.Get(node, &known) == 0 && !known.sizeUnknown) blobs_.Forget(file->name());
  }
  return true;
}

void Session::SetBack(uint64_t node, const std::vector<Pending>& unserved, bool damaged) {
  const auto [hopeless, interrupted, ask] = parked_.WaitAgain(node, unserved, damaged);
  for (const Pending& one : hopeless) ReplyError(one.device, one.unique, EIO);
  for (const Pending& one : interrupted) ReplyError(one.device, one.unique, EINTR);
  if (ask) upcalls_->OnFill(node);
}

void Session::Provide(uint64_t node, const BlobSource& source) {
  Node known;
  const int error = tree_.Get(node, &known);
  if (error != 0 || known.directory ||
      (!known.sizeUnknown && known.sizeBytes != source.sizeBytes)) {
    // Bytes of another length are not the file that the manifest names.
    return Fail(node, EIO);
  }
  {
    const std::lock_guard lock(failedMutex_);
    failedNodes_.erase(node);
  }
  const MaybeFailure failure = blobs_.Provide(node, source);
  if (!parked_.BeginDrain(node)) return;
  if (!failure) return QueueDrain(node, {});
  // The file was lost on its way here. Its owner may still believe in it.
  damaged_++;
  upcalls_->OnDamage(node, source.name);
  SetBack(node, {}, true);
}

void Session::Fail(uint64_t node, int errorNumber) {
  {
    const std::lock_guard lock(failedMutex_);
    failedNodes_.insert(node);
  }
  for (const Pending& one : parked_.TakeAll(node)) {
    ReplyError(one.device, one.unique, ReaderErrno(errorNumber));
  }
}

void Session::Forget(const Digest& blob) {
  blobs_.Forget(blob);
  // The table of modes appears with INIT.
  const std::lock_guard lock(initMutex_);
  if (modes_ != nullptr) modes_->Forget(blob);
}

}  // namespace refmount
