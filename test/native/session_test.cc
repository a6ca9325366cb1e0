// A whole session on a socket pair in the place of /dev/fuse: requests as bytes in, replies as
// bytes out, with real blobs on disk. What only the kernel can show is tested on real mounts.

#include "../../native/session.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "../../native/crc.h"
#include "check.h"
#include "index_bytes.h"

namespace refmount {
namespace {

using Bytes = std::vector<uint8_t>;
constexpr uint64_t kFile = 3;
constexpr uint64_t kUnsized = 4;
constexpr uint32_t kFileBytes = 10'000;

/// Records what a session asks, and lets the test wait for it.
class Owned : public Upcalls {
 public:
  void OnReady(const Negotiation&, bool resumed) override { Note(resumed ? "resumed" : "ready"); }
  void OnFill(uint64_t node) override { Note("fill " + std::to_string(node)); }
  void OnDamage(uint64_t node, const Digest&) override { Note("damage " + std::to_string(node)); }
  void OnXattr(uint64_t token, uint64_t, std::string_view name) override {
    lastToken = token;
    Note("xattr " + std::string(name));
  }
  void OnEnd(EndReason reason, const std::string&) override {
    Note(reason == EndReason::kStopped ? "stopped" : "ended");
  }

  /// The next upcall in order.
  std::string Next() {
    std::unique_lock lock(mutex_);
    const auto arrived = [this] { return !notes_.empty(); };
    if (!changed_.wait_for(lock, std::chrono::seconds(20), arrived)) return "nothing";
    std::string note = std::move(notes_.front());
    notes_.pop_front();
    return note;
  }
  bool Quiet() {
    const std::lock_guard lock(mutex_);
    return notes_.empty();
  }

  std::atomic<uint64_t> lastToken{0};

 private:
  void Note(std::string note) {
    const std::lock_guard lock(mutex_);
    notes_.push_back(std::move(note));
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> notes_;
};

struct Answer {
  int error = -1;
  uint64_t unique = 0;
  Bytes payload;
};

/// The kernel's side of one mount, and the folder with its index and blobs.
class Rig {
 public:
  Rig() {
    char path[] = "/tmp/refmount-session-XXXXXX";
    dir = mkdtemp(path);
    std::vector<TestRecord> records = TestTree();
    records[kFile - 1].sizeBytes = kFileBytes;
    WriteFile("index", IndexBytes(records));
    std::mt19937 random(1);
    content.resize(kFileBytes);
    for (uint8_t& byte : content) byte = static_cast<uint8_t>(random());
    WriteFile("blob", content);
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    kernel = Fd(ends[0]);
    device = Fd(ends[1]);
    const timeval patience = {20, 0};
    setsockopt(kernel.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(kernel.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    state = Fd(memfd_create("state", MFD_CLOEXEC));
  }
  ~Rig() { std::filesystem::remove_all(dir); }

  std::unique_ptr<Session> Start() {
    SessionConfig config;
    config.devices.emplace_back(fcntl(device.get(), F_DUPFD_CLOEXEC, 0));
    config.state = Fd(fcntl(state.get(), F_DUPFD_CLOEXEC, 0));
    config.indexPath = dir + "/index";
    config.manifest = TestManifest();
    config.maxOpenBlobs = 4;
    Result<std::unique_ptr<Session>> started = Session::Start(std::move(config), &owned);
    CHECK(started.ok());
    return started.ok() ? std::move(started.value()) : nullptr;
  }

  uint64_t Ask(uint32_t opcode, uint64_t node, const Bytes& body) {
    nextUnique += 2;
    AskAs(nextUnique, opcode, node, body);
    return nextUnique;
  }
  void AskAs(uint64_t unique, uint32_t opcode, uint64_t node, const Bytes& body) {
    wire::InHeader header{};
    header.len = static_cast<uint32_t>(sizeof(header) + body.size());
    header.opcode = opcode;
    header.unique = unique;
    header.nodeid = node;
    Bytes message(sizeof(header));
    std::memcpy(message.data(), &header, sizeof(header));
    message.insert(message.end(), body.begin(), body.end());
    CHECK(send(kernel.get(), message.data(), message.size(), 0) > 0);
  }
  uint64_t AskRead(uint64_t node, uint64_t offset, uint32_t size) {
    Bytes body(40);
    Put(&body, 8, &offset, 8);
    Put(&body, 16, &size, 4);
    return Ask(wire::kRead, node, body);
  }
  Answer Hear() {
    Bytes bytes(sizeof(wire::OutHeader) + kMaxReadBytes);
    const ssize_t got = recv(kernel.get(), bytes.data(), bytes.size(), 0);
    Answer answer;
    if (got < static_cast<ssize_t>(sizeof(wire::OutHeader))) return answer;
    wire::OutHeader header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    CHECK(header.len == static_cast<uint32_t>(got));
    answer.error = -header.error;
    answer.unique = header.unique;
    answer.payload.assign(bytes.begin() + sizeof(header), bytes.begin() + got);
    return answer;
  }
  void Greet() {
    wire::InitIn in{};
    in.major = 7;
    in.minor = 40;
    in.flags = UINT32_MAX;
    in.flags2 = UINT32_MAX;
    Bytes body(sizeof(in));
    std::memcpy(body.data(), &in, sizeof(in));
    Ask(wire::kInit, 0, body);
    CHECK(Hear().payload.size() == 64);
    CHECK(owned.Next() == "ready");
  }

  void WriteFile(const std::string& name, const Bytes& bytes) {
    std::ofstream(dir + "/" + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<long>(bytes.size()));
  }
  BlobSource Blob() const {
    const size_t blocks = (content.size() + kBlockBytes - 1) / kBlockBytes;
    auto crcs = std::make_shared<uint32_t[]>(blocks);
    for (size_t i = 0; i < blocks; i++) {
      const size_t at = i * kBlockBytes;
      crcs[i] = Crc32c(0, content.data() + at, std::min(content.size() - at, size_t{kBlockBytes}));
    }
    Digest name{};
    name[0] = 9;
    return {.path = dir + "/blob", .name = name, .sizeBytes = content.size(), .crcs = crcs};
  }
  Bytes Part(size_t offset, size_t size) const {
    return {content.begin() + static_cast<ptrdiff_t>(offset),
            content.begin() + static_cast<ptrdiff_t>(std::min(offset + size, content.size()))};
  }

  std::string dir;
  Bytes content;
  Fd kernel, device, state;
  Owned owned;
  uint64_t nextUnique = 0;
};

void ParksUntilProvided() {
  Rig rig;
  const auto session = rig.Start();
  rig.Greet();
  const uint64_t first = rig.AskRead(kFile, 0, 4096);
  CHECK(rig.owned.Next() == "fill 3");
  const uint64_t second = rig.AskRead(kFile, 4095, 100'000);
  // Another file is served while these wait.
  const uint64_t stat = rig.Ask(wire::kGetattr, 1, Bytes(16));
  CHECK(rig.Hear().unique == stat);
  session->Provide(kFile, rig.Blob());
  Answer answer = rig.Hear();
  CHECK(answer.unique == first && answer.payload == rig.Part(0, 4096));
  answer = rig.Hear();
  CHECK(answer.unique == second && answer.payload == rig.Part(4095, 100'000));
  // At any offset, from now on without asking anybody.
  for (const auto& [offset, size] :
       std::vector<std::pair<uint32_t, uint32_t>>{{0, 1}, {4096, 4096}, {9'999, 1}, {5, 8'200}}) {
    rig.AskRead(kFile, offset, size);
    CHECK(rig.Hear().payload == rig.Part(offset, size));
  }
  for (const uint64_t beyond : {uint64_t{kFileBytes}, uint64_t{1} << 40, UINT64_MAX}) {
    rig.AskRead(kFile, beyond, 4096);
    answer = rig.Hear();
    CHECK(answer.error == 0 && answer.payload.empty());
  }
  rig.AskRead(kFile, 0, UINT32_MAX);
  CHECK(rig.Hear().error == EINVAL);
  rig.AskRead(1, 0, 10);
  CHECK(rig.Hear().error == EISDIR);
  CHECK(rig.owned.Quiet() && session->Counts().parked == 0);
}

void SignalsEndParkedReads() {
  Rig rig;
  const auto session = rig.Start();
  rig.Greet();
  const uint64_t waiting = rig.AskRead(kFile, 0, 10);
  CHECK(rig.owned.Next() == "fill 3");
  Bytes body(8);
  Put(&body, 0, &waiting, 8);
  rig.Ask(wire::kInterrupt, 0, body);
  Answer answer = rig.Hear();
  CHECK(answer.unique == waiting && answer.error == EINTR);
  // A signal that overtakes its request, as it may between two threads.
  const uint64_t later = rig.nextUnique + 4;
  Put(&body, 0, &later, 8);
  rig.Ask(wire::kInterrupt, 0, body);
  CHECK(rig.AskRead(kFile, 0, 10) == later);
  answer = rig.Hear();
  CHECK(answer.unique == later && answer.error == EINTR);
  CHECK(session->Counts().parked == 0);
}

void SignalsEndRequestsThatHaveToWaitAgain() {
  ParkedRequests parked;
  const Pending read{.kind = Pending::kRead, .device = 0, .size = 10, .unique = 42, .node = kFile};
  const auto nothing = [] { return ParkedRequests::Found::kNothing; };
  CHECK(parked.Park(read, nothing) == ParkedRequests::Next::kAskForBlob);
  CHECK(parked.BeginDrain(kFile));
  const auto batch = parked.TakeBatch(kFile, 8, true);
  CHECK(batch.requests.size() == 1 && !batch.done);
  // It is being served, so the signal does not find it.
  CHECK(!parked.Interrupt(42));
  const auto setback = parked.WaitAgain(kFile, batch.requests, false);
  CHECK(setback.interrupted.size() == 1 && setback.hopeless.empty() && !setback.ask);
  CHECK(parked.size() == 0);
}

void FailuresReachEveryReader() {
  Rig rig;
  const auto session = rig.Start();
  rig.Greet();
  rig.AskRead(kFile, 0, 10);
  CHECK(rig.owned.Next() == "fill 3");
  rig.AskRead(kFile, 10, 10);
  rig.Ask(wire::kStatfs, 1, {});
  CHECK(rig.Hear().payload.size() == sizeof(wire::StatfsOut));
  session->Fail(kFile, ESTALE);
  CHECK(rig.Hear().error == ESTALE && rig.Hear().error == ESTALE);
  rig.AskRead(kFile, 0, 10);
  CHECK(rig.owned.Next() == "fill 3");
  // Never an errno with a meaning for the kernel itself.
  session->Fail(kFile, ENOSYS);
  CHECK(rig.Hear().error == EIO);
}

void DamageIsNeverServed() {
  Rig rig;
  const auto session = rig.Start();
  rig.Greet();
  const BlobSource good = rig.Blob();
  session->Provide(kFile, good);
  Bytes flipped = rig.content;
  flipped[8'191] ^= 1;
  rig.WriteFile("blob", flipped);
  // The other blocks are still right.
  rig.AskRead(kFile, 0, 4096);
  CHECK(rig.Hear().payload == rig.Part(0, 4096));
  rig.AskRead(kFile, 4096, 10);
  CHECK(rig.owned.Next() == "damage 3" && rig.owned.Next() == "fill 3");
  rig.WriteFile("blob", rig.content);
  session->Provide(kFile, good);
  CHECK(rig.Hear().payload == rig.Part(4096, 10));

  // Damaged twice for one request: the reader learns it.
  rig.WriteFile("blob", flipped);
  rig.AskRead(kFile, 4096, 10);
  CHECK(rig.owned.Next() == "damage 3" && rig.owned.Next() == "fill 3");
  session->Provide(kFile, good);
  CHECK(rig.Hear().error == EIO && rig.owned.Next() == "damage 3");

  // A blob of another size is not the file, whoever says so.
  rig.AskRead(kFile, 0, 10);
  CHECK(rig.owned.Next() == "fill 3");
  BlobSource longer = good;
  longer.sizeBytes++;
  session->Provide(kFile, longer);
  CHECK(rig.Hear().error == EIO);

  // Gone on its way here, then back.
  rig.WriteFile("blob", rig.content);
  rig.AskRead(kFile, 0, 10);
  CHECK(rig.owned.Next() == "fill 3");
  BlobSource missing = good;
  missing.path += "-missing";
  session->Provide(kFile, missing);
  CHECK(rig.owned.Next() == "damage 3" && rig.owned.Next() == "fill 3");
  session->Provide(kFile, good);
  CHECK(rig.Hear().payload == rig.Part(0, 10));

  // Evicted: asked for again.
  session->Forget(good.name);
  rig.AskRead(kFile, 0, 10);
  CHECK(rig.owned.Next() == "fill 3");
  session->Fail(kFile, EIO);
  CHECK(rig.Hear().error == EIO);
}

void SizesAreLearnt() {
  Rig rig;
  const auto session = rig.Start();
  rig.Greet();
  rig.Ask(wire::kGetattr, kUnsized, Bytes(16));
  wire::AttrOut attr;
  Answer answer = rig.Hear();
  std::memcpy(&attr, answer.payload.data(), sizeof(attr));
  CHECK(attr.attr_valid == 0 && attr.attr.size == 0);
  Bytes ofOpenFile(16);
  ofOpenFile[0] = 1;
  rig.Ask(wire::kGetattr, kUnsized, ofOpenFile);
  CHECK(rig.owned.Next() == "fill 4");
  session->Provide(kUnsized, rig.Blob());
  answer = rig.Hear();
  std::memcpy(&attr, answer.payload.data(), sizeof(attr));
  CHECK(attr.attr_valid > 0 && attr.attr.size == kFileBytes);
}

Bytes XattrBody(uint32_t room, const char* name) {
  Bytes body(8);
  Put(&body, 0, &room, 4);
  body.insert(body.end(), name, name + std::strlen(name) + 1);
  return body;
}

void ExtendedAttributes() {
  Rig rig;
  const auto session = rig.Start();
  rig.Greet();
  const auto text = [](const Answer& answer) {
    return std::string(answer.payload.begin(), answer.payload.end());
  };
  rig.Ask(wire::kGetxattr, kFile, XattrBody(64, "user.refmount.state"));
  CHECK(text(rig.Hear()) == "absent");
  rig.Ask(wire::kGetxattr, kFile, XattrBody(2, "user.refmount.state"));
  CHECK(rig.Hear().error == ERANGE);
  rig.Ask(wire::kGetxattr, 1, XattrBody(0, "user.refmount.state"));
  CHECK(rig.Hear().payload == Bytes({9, 0, 0, 0, 0, 0, 0, 0}));
  rig.Ask(wire::kGetxattr, kFile, XattrBody(64, "security.capability"));
  CHECK(rig.Hear().error == ENODATA);
  rig.Ask(wire::kGetxattr, kFile, XattrBody(64, "user.refmount.uri"));
  CHECK(rig.owned.Next() == "xattr user.refmount.uri");
  const uint8_t value[] = {'s', '3'};
  session->ReplyXattr(rig.owned.lastToken, std::span<const uint8_t>(value));
  CHECK(text(rig.Hear()) == "s3");
  session->ReplyXattr(rig.owned.lastToken, std::nullopt);  // answered already: nothing happens
  rig.Ask(wire::kListxattr, kFile, XattrBody(0, ""));
  CHECK(rig.Hear().payload.size() == 8);
}

void SuccessorGoesOn() {
  Rig rig;
  auto session = rig.Start();
  rig.Greet();
  const uint64_t waiting = rig.AskRead(kFile, 0, 10);
  CHECK(rig.owned.Next() == "fill 3");
  session->Stop();
  CHECK(rig.owned.Next() == "stopped");
  session.reset();
  session = rig.Start();
  CHECK(rig.owned.Next() == "resumed");
  const Answer notice = rig.Hear();
  CHECK(notice.unique == 0 && notice.error == -wire::kNotifyResend);
  // The kernel sends it again, marked, and wants the mark back.
  Bytes body(40);
  body[16] = 10;
  rig.AskAs(waiting | wire::kResent, wire::kRead, kFile, body);
  CHECK(rig.owned.Next() == "fill 3");
  session->Provide(kFile, rig.Blob());
  const Answer answer = rig.Hear();
  CHECK(answer.unique == (waiting | wire::kResent) && answer.payload == rig.Part(0, 10));
}

void RefusesStrangeState() {
  Rig rig;
  const uint8_t junk[64] = {1, 2, 3};
  CHECK(pwrite(rig.state.get(), junk, sizeof(junk), 0) == sizeof(junk));
  SessionConfig config;
  config.devices.emplace_back(fcntl(rig.device.get(), F_DUPFD_CLOEXEC, 0));
  config.state = Fd(fcntl(rig.state.get(), F_DUPFD_CLOEXEC, 0));
  config.indexPath = rig.dir + "/index";
  config.manifest = TestManifest();
  CHECK(!Session::Start(std::move(config), &rig.owned).ok());
}

void SurvivesAnyBytes() {
  Rig rig;
  const auto session = rig.Start();
  rig.Greet();
  session->Provide(kFile, rig.Blob());
  std::mt19937 random(7);
  const timeval instant = {0, 1};
  setsockopt(rig.kernel.get(), SOL_SOCKET, SO_RCVTIMEO, &instant, sizeof(instant));
  Bytes trash(sizeof(wire::OutHeader) + kReadBufferBytes);
  for (int i = 0; i < 5000; i++) {
    Bytes body(random() % 90);
    for (uint8_t& byte : body) byte = random() % 2 ? 0 : static_cast<uint8_t>(random());
    const uint32_t opcode = random() % 56;
    // A bad INIT rightly ends the session.
    if (opcode != wire::kInit) rig.AskAs(random(), opcode, random() % 7, body);
    while (recv(rig.kernel.get(), trash.data(), trash.size(), MSG_DONTWAIT) > 0) continue;
  }
  session->Stop();
  session->Join();
}

}  // namespace
}  // namespace refmount

int main() {
  refmount::ParksUntilProvided();
  refmount::SignalsEndParkedReads();
  refmount::SignalsEndRequestsThatHaveToWaitAgain();
  refmount::FailuresReachEveryReader();
  refmount::DamageIsNeverServed();
  refmount::SizesAreLearnt();
  refmount::ExtendedAttributes();
  refmount::SuccessorGoesOn();
  refmount::RefusesStrangeState();
  refmount::SurvivesAnyBytes();
  return CheckResult();
}
