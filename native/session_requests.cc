// One request to its answer: INIT, names and attributes here; what may wait for a blob, and
// extended attributes, in the files beside this one.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "session.h"

namespace refmount {

/// What to do with each kind of request.
struct Dispatch {
  Session& session;
  const Request& request;
  uint16_t device;
  uint8_t* buffer;

  void Refuse(int errorNumber) { session.ReplyError(device, request.unique, errorNumber); }
  /// Refuses what the inode index could not answer.
  void RefuseNode(int errorNumber) {
    if (errorNumber == EIO && !session.indexDamaged_.exchange(true)) {
      session.upcalls_->OnIndexDamage();
    }
    Refuse(errorNumber);
  }
  template <class T>
  void Answer(const T& payload) {
    session.ReplyStruct(device, request.unique, payload);
  }
  void AnswerEmpty() { session.Reply(device, request.unique, {}); }
  std::optional<uint64_t> LearnedSize(const Node& node) {
    return node.sizeUnknown ? session.blobs_.SizeOf(node.id) : std::nullopt;
  }
  Pending Park(Pending::Kind kind, uint64_t offset = 0, uint32_t size = 0) {
    return Pending{.kind = kind,
                   .device = device,
                   .size = size,
                   .unique = request.unique,
                   .node = request.node,
                   .offset = offset};
  }

  void operator()(const InitRequest& offer) {
    const std::lock_guard lock(session.initMutex_);
    if (offer.major > wire::kMajor) {
      // The kernel then offers the major version named here.
      wire::InitOut out{};
      out.major = wire::kMajor;
      out.minor = wire::kMinor;
      return Answer(out);
    }
    const auto pageBytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const bool passthrough = session.state_.modes() != nullptr && CanPassthrough();
    const auto agreed = Negotiate(offer, passthrough, pageBytes);
    if (!agreed) {
      Refuse(EPROTO);
      return session.End(EndReason::kAborted,
                         "the kernel speaks FUSE " + std::to_string(offer.major) + "." +
                             std::to_string(offer.minor) + "; 7." +
                             std::to_string(wire::kOldestMinor) + " (Linux 5.4) is needed");
    }
    if (!session.ready_) session.Adopt(*agreed);
    // Recorded before the reply: a successor that finds it is sent INIT again if the reply was not
    // written, and would never be if it was.
    StateHeader& header = session.state_.header();
    header.minor = agreed->minor;
    header.flags = agreed->flags;
    header.maxReadBytes = agreed->maxReadBytes;
    header.passthrough = agreed->passthrough ? 1 : 0;
    header.initAnswered = 1;
    Answer(EncodeInit(offer, *agreed, pageBytes));
    if (!std::exchange(session.ready_, true)) session.upcalls_->OnReady(*agreed, false);
  }

  void operator()(const LookupRequest& wanted) {
    Node node;
    const int error = LookUp(session.tree_, request.node, wanted.name, &node);
    if (error == ENOENT) return Answer(DescribeAbsence());
    if (error != 0) return RefuseNode(error);
    Answer(DescribeEntry(node, session.config_.owner, LearnedSize(node)));
  }

  void operator()(const GetattrRequest& wanted) {
    Node node;
    if (const int error = session.tree_.Get(request.node, &node)) return RefuseNode(error);
    const auto learnedSize = LearnedSize(node);
    // A read of a file of unknown size: the kernel asks where it ends before it asks for bytes.
    if (node.sizeUnknown && !node.directory && wanted.ofOpenFile && !learnedSize) {
      return session.ServeOrPark(Park(Pending::kGetattr), buffer);
    }
    Answer(DescribeNode(node, session.config_.owner, learnedSize));
  }

  void operator()(const OpenRequest& wanted) {
    if ((wanted.flags & O_ACCMODE) != O_RDONLY || (wanted.flags & O_TRUNC) != 0) {
      return Refuse(EROFS);
    }
    if (session.modes_ != nullptr) return session.ServeOrPark(Park(Pending::kOpen), buffer);
    // After this ENOSYS the kernel opens and closes every file of the mount by itself.
    if (session.agreed_.Has(wire::kNoOpenSupport)) return Refuse(ENOSYS);
    Answer(wire::OpenOut{0, wire::kFopenKeepCache, 0});
  }

  void operator()(const OpendirRequest&) {
    if (session.agreed_.Has(wire::kNoOpendirSupport)) return Refuse(ENOSYS);
    Answer(wire::OpenOut{0, wire::kFopenKeepCache | wire::kFopenCacheDir, 0});
  }

  void operator()(const ReadRequest& wanted) {
    session.reads_++;
    session.ServeOrPark(Park(Pending::kRead, wanted.offset, wanted.size), buffer);
  }

  void operator()(const ReaddirRequest& wanted) {
    Node node;
    if (const int error = session.tree_.Get(request.node, &node)) return RefuseNode(error);
    if (!node.directory) return Refuse(ENOTDIR);
    DirentPacker packer({buffer, std::min<size_t>(wanted.size, kReadBufferBytes)});
    const int error = ListDirectory(session.tree_, node, wanted.offset, wanted.plus,
                                    session.config_.owner, &packer);
    if (error != 0) return RefuseNode(error);
    session.Reply(device, request.unique, {buffer, packer.size()});
  }

  void operator()(const ReleaseRequest&) {
    if (session.modes_ == nullptr) return AnswerEmpty();
    session.modes_->Release(request.node, request.unique,
                            [this] { return session.Reply(device, request.unique, {}); });
  }
  void operator()(const ReleasedirRequest&) { AnswerEmpty(); }
  void operator()(const DestroyRequest&) { AnswerEmpty(); }
  void operator()(const StatfsRequest&) { Answer(DescribeFileSystem(session.tree_)); }

  void operator()(const AccessRequest& wanted) {
    if ((wanted.mask & W_OK) != 0) return Refuse(EROFS);
    AnswerEmpty();
  }

  void operator()(const GetxattrRequest& wanted) { session.HandleXattr(device, request, wanted); }
  void operator()(const ListxattrRequest& wanted) {
    session.HandleXattrNames(device, request, wanted.size);
  }

  void operator()(const InterruptRequest& wanted) {
    if (session.InterruptXattr(wanted.unique)) return;
    if (const auto pending = session.parked_.Interrupt(wanted.unique)) {
      session.ReplyError(pending->device, pending->unique, EINTR);
    }
  }

  // Nodes need no reference counts: the tree never changes.
  void operator()(const SilentRequest&) {}
  void operator()(const RefusedRequest& refused) { Refuse(refused.errorNumber); }
};

void Session::Handle(std::span<const uint8_t> bytes, uint16_t device, uint8_t* buffer) {
  requests_++;
  const auto decoded = DecodeRequest(bytes);
  const Request* request = std::get_if<Request>(&decoded);
  if (request == nullptr) return;
  std::visit(Dispatch{*this, *request, device, buffer}, request->operation);
}

}  // namespace refmount
