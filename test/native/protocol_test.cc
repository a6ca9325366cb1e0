// The protocol on literal bytes: what the kernel sends, cut short anywhere, and hostile.

#include "../../native/protocol.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../../native/negotiation.h"
#include "check.h"

namespace refmount {
namespace {

using Bytes = std::vector<uint8_t>;

/// Header fields as the kernel writes them, little endian, then the body; `len` is right.
Bytes Message(uint8_t opcode, Bytes body, uint64_t node = 5) {
  Bytes bytes = {0,
                 0,
                 0,
                 0,
                 opcode,
                 0,
                 0,
                 0,
                 /* unique */ 0x02,
                 0,
                 0,
                 0,
                 0,
                 0,
                 0,
                 0,
                 /* node */ static_cast<uint8_t>(node),
                 0,
                 0,
                 0,
                 0,
                 0,
                 0,
                 0,
                 /* uid, gid, pid */ 0xe8,
                 3,
                 0,
                 0,
                 0xe9,
                 3,
                 0,
                 0,
                 7,
                 0,
                 0,
                 0,
                 /* extensions, padding */ 0,
                 0,
                 0,
                 0};
  bytes.insert(bytes.end(), body.begin(), body.end());
  bytes[0] = static_cast<uint8_t>(bytes.size());
  bytes[1] = static_cast<uint8_t>(bytes.size() >> 8);
  return bytes;
}

Bytes Text(const char* text) { return Bytes(text, text + std::strlen(text) + 1); }

/// Decodes from memory of exactly this size, so that reading beyond it is found by the sanitizer.
/// `held` keeps the bytes that names point into.
Request Decode(const Bytes& bytes, std::unique_ptr<uint8_t[]>* held) {
  *held = std::make_unique_for_overwrite<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), held->get());
  auto decoded = DecodeRequest({held->get(), bytes.size()});
  CHECK(std::holds_alternative<Request>(decoded));
  return std::get<Request>(decoded);
}

int RefusalOf(const Bytes& bytes) {
  std::unique_ptr<uint8_t[]> held;
  const Request request = Decode(bytes, &held);
  const auto* refused = std::get_if<RefusedRequest>(&request.operation);
  return refused == nullptr ? 0 : refused->errorNumber;
}

void ValidRequests() {
  std::unique_ptr<uint8_t[]> held;
  Request request = Decode(Message(1, Text("a.txt")), &held);
  CHECK(request.unique == 2 && request.node == 5 && request.opcode == wire::kLookup);
  CHECK(std::get<LookupRequest>(request.operation).name == "a.txt");

  request = Decode(Message(15, {0, 0,    0, 0, 0, 0, 0, 0,    // fh
                                0, 0x10, 0, 0, 1, 0, 0, 0,    // offset 4 GiB + 4096
                                0, 0,    2, 0, 0, 0, 0, 0,    // size 128 KiB
                                0, 0,    0, 0, 0, 0, 0, 0,    // lock owner
                                0, 0x80, 0, 0, 0, 0, 0, 0}),  // flags
                   &held);
  const auto read = std::get<ReadRequest>(request.operation);
  CHECK(read.offset == 0x100001000 && read.size == 131072);

  request = Decode(Message(22, {16, 0, 0, 0, 0, 0, 0, 0, 'u', '.', 'x', 0}), &held);
  CHECK(std::get<GetxattrRequest>(request.operation).size == 16);
  CHECK(std::get<GetxattrRequest>(request.operation).name == "u.x");

  request = Decode(Message(36, {9, 0, 0, 0, 0, 0, 0, 0x80}), &held);
  CHECK(std::get<InterruptRequest>(request.operation).unique == 0x8000000000000009);

  request = Decode(Message(3, {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), &held);
  CHECK(std::get<GetattrRequest>(request.operation).ofOpenFile);

  // A group list that the kernel appends is not part of the name.
  Bytes extended = Message(1, {'a', 0, 1, 2, 3, 4, 5, 6, 7, 8});
  extended[36] = 1;
  request = Decode(extended, &held);
  CHECK(std::get<LookupRequest>(request.operation).name == "a");
}

void RefusedRequests() {
  for (const uint8_t writing : {4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 24, 35, 43, 45, 47, 51}) {
    CHECK(RefusalOf(Message(writing, Bytes(64))) == EROFS);
  }
  for (const uint8_t unknown : {0, 5, 7, 20, 25, 30, 31, 39, 46, 52, 200}) {
    CHECK(RefusalOf(Message(unknown, Bytes(64))) == ENOSYS);
  }
  CHECK(RefusalOf(Message(1, {})) == EINVAL);
  CHECK(RefusalOf(Message(1, {0})) == EINVAL);
  CHECK(RefusalOf(Message(1, {'a', 'b'})) == EINVAL);
  CHECK(RefusalOf(Message(15, Bytes(39))) == EINVAL);
  CHECK(RefusalOf(Message(22, {16, 0, 0, 0, 0, 0, 0, 0})) == EINVAL);
  CHECK(RefusalOf(Message(22, {16, 0, 0, 0, 0, 0, 0, 0, 'u'})) == EINVAL);
  CHECK(RefusalOf(Message(26, Bytes(15))) == EINVAL);

  Bytes wrongLength = Message(17, {});
  wrongLength[0]++;
  CHECK(RefusalOf(wrongLength) == EINVAL);
  wrongLength[0] = 0;
  CHECK(RefusalOf(wrongLength) == EINVAL);
  Bytes hugeExtension = Message(1, Text("a"));
  hugeExtension[36] = hugeExtension[37] = 0xff;
  CHECK(RefusalOf(hugeExtension) == EINVAL);
}

void TruncatedAndRandomBytes() {
  const Bytes whole = Message(22, {16, 0, 0, 0, 0, 0, 0, 0, 'u', '.', 'x', 0});
  for (size_t size = 0; size < whole.size(); size++) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    if (size < 40) {
      CHECK(std::holds_alternative<Undecodable>(DecodeRequest(cut)));
    } else {
      CHECK(RefusalOf(cut) == EINVAL);
    }
  }
  std::mt19937 random(20240229);
  for (int i = 0; i < 20000; i++) {
    Bytes body(random() % 80);
    for (uint8_t& byte : body) byte = static_cast<uint8_t>(random());
    Bytes bytes = Message(static_cast<uint8_t>(random() % 64), body);
    if (random() % 4 == 0) bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    std::unique_ptr<uint8_t[]> held;
    const Request request = Decode(bytes, &held);
    if (const auto* lookup = std::get_if<LookupRequest>(&request.operation)) {
      CHECK(!lookup->name.empty() && lookup->name.find('\0') == std::string_view::npos);
    }
  }
}

void Replies() {
  const wire::OutHeader header = EncodeHeader(0x8000000000000002, ESTALE, 0);
  const uint8_t expected[16] = {16, 0, 0, 0, 0x8c, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0, 0, 0x80};
  CHECK(std::memcmp(&header, expected, sizeof(expected)) == 0);

  uint8_t buffer[64];
  std::memset(buffer, 0xee, sizeof(buffer));
  DirentPacker packer({buffer, sizeof(buffer)});
  CHECK(packer.Add(nullptr, 7, 8, 8, "abc"));
  const uint8_t dirent[32] = {7, 0, 0, 0, 0, 0, 0, 0, 8,   0,   0,   0, 0, 0, 0, 0,
                              3, 0, 0, 0, 8, 0, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0, 0};
  CHECK(packer.size() == 32 && std::memcmp(buffer, dirent, sizeof(dirent)) == 0);
  CHECK(!packer.Add(nullptr, 9, 10, 8, "123456789"));
  CHECK(packer.size() == 32 && buffer[32] == 0xee);
  CHECK(packer.Add(nullptr, 9, 10, 8, "12345678"));
  CHECK(packer.size() == 64);
  CHECK(!packer.Add(nullptr, 9, 10, 8, ""));
}

void Negotiations() {
  const uint64_t everything = ~uint64_t{0};
  const auto agreed = Negotiate({7, 45, 131072, everything}, true, 4096);
  CHECK(agreed && agreed->minor == wire::kMinor && agreed->passthrough);
  CHECK(agreed->maxReadBytes == 1 << 20);
  CHECK(!agreed->Has(wire::kAutoInvalData) && !agreed->Has(wire::kReaddirplusAuto));
  // Readers waiting on asynchronous direct I/O cannot be killed.
  CHECK(!agreed->Has(wire::kAsyncDio));
  const wire::InitOut out = EncodeInit({7, 45, 131072, everything}, *agreed, 4096);
  CHECK(out.max_pages == 256 && out.max_stack_depth == 1 && out.max_background == 65535);
  CHECK((out.flags2 & (1u << 5)) != 0 && (out.flags2 & (1u << 7)) != 0);

  const auto cached = Negotiate({7, 45, 131072, everything}, false, 65536);
  CHECK(cached && !cached->passthrough);
  CHECK(EncodeInit({7, 45, 131072, everything}, *cached, 65536).max_pages == 16);
  CHECK(EncodeInit({7, 45, 131072, everything}, *cached, 65536).max_stack_depth == 0);

  const auto old = Negotiate({7, 31, 4096, UINT32_MAX}, true, 4096);
  CHECK(old && old->minor == 31 && !old->passthrough && !old->Has(wire::kHasResend));
  CHECK(!Negotiate({7, 30, 4096, everything}, false, 4096));
  CHECK(!Negotiate({6, 99, 4096, everything}, false, 4096));
  const auto plain = Negotiate({7, 31, 4096, 0}, false, 4096);
  CHECK(plain && plain->maxReadBytes == 131072);
}

}  // namespace
}  // namespace refmount

int main() {
  refmount::ValidRequests();
  refmount::RefusedRequests();
  refmount::TruncatedAndRandomBytes();
  refmount::Replies();
  refmount::Negotiations();
  return CheckResult();
}
