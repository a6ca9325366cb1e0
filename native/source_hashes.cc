#include "source_hashes.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "hex.h"
#include "md5_lanes.h"
#include "source.h"

namespace refmount {
namespace {

constexpr size_t kLanes = Md5Lanes::kLanes;

/// A file being hashed.
struct Open {
  Open(const std::string& path, OpenSource source, HashedSource* out)
      : path(path), source(std::move(source)), out(out), hasher(HashPlan{}) {}

  const std::string& path;
  OpenSource source;
  HashedSource* out;
  Hasher hasher;
  uint64_t done = 0;

  void Fail(Failure failure) { out->failure = std::move(failure); }

  void Finish(const Md5Lanes& md5, size_t lane) {
    if (!hasher.Finish(&out->hashes)) return Fail({ENOTSUP, "hash", path, {}});
    uint8_t digest[kMd5Bytes];
    md5.Finish(lane, digest);
    out->hashes.md5 = Hex(digest, sizeof digest);
    // By its path: another file may have been renamed over it.
    Result<SourceStatus> after = StatSource(path, true);
    out->changed = !after.ok() || after.value() != source.status || done != source.status.size_bytes;
  }
};

using Opened = std::unique_ptr<Open>;

/// Hashes up to eight files side by side. `on_bytes` gives false to end it.
void HashGroup(std::span<Opened> files, std::span<uint8_t> buffer,
               const std::function<bool(uint64_t)>& on_bytes) {
  const size_t slice = buffer.size() / files.size() / 64 * 64;
  Md5Lanes md5;
  std::array<Open*, kLanes> lanes{};
  for (size_t lane = 0; lane < files.size(); lane++) lanes[lane] = files[lane].get();
  while (std::any_of(lanes.begin(), lanes.end(), [](Open* file) { return file != nullptr; })) {
    std::array<Md5Lanes::Piece, kLanes> pieces{};
    uint64_t bytes = 0;
    for (size_t lane = 0; lane < files.size(); lane++) {
      Open* const file = lanes[lane];
      if (file == nullptr) continue;
      uint8_t* const part = buffer.data() + lane * slice;
      Result<size_t> got = ReadSource(file->source.fd.get(), part, slice, file->done);
      if (!got.ok()) {
        file->Fail(std::move(got.failure()));
        lanes[lane] = nullptr;
        continue;
      }
      file->hasher.Update(part, got.value());
      file->done += got.value();
      bytes += got.value();
      pieces[lane] = {part, got.value(), got.value() < slice};
    }
    md5.Update(pieces);
    for (size_t lane = 0; lane < files.size(); lane++) {
      if (!pieces[lane].last) continue;
      lanes[lane]->Finish(md5, lane);
      lanes[lane] = nullptr;
    }
    if (on_bytes(bytes)) continue;
    for (Open* const file : lanes) {
      if (file != nullptr) file->Fail({ECANCELED, "read", file->path, {}});
    }
    return;
  }
}

Opened OpenRegular(const std::string& path, HashedSource* out) {
  Result<OpenSource> source = OpenSource::Open(path, true);
  if (!source.ok()) {
    out->failure = std::move(source.failure());
    return nullptr;
  }
  if (!S_ISREG(source.value().status.mode)) {
    out->failure = Failure{EINVAL, "read", path, "not a regular file"};
    return nullptr;
  }
  return std::make_unique<Open>(path, std::move(source.value()), out);
}

}  // namespace

std::vector<HashedSource> HashSources(const std::vector<std::string>& paths,
                                      std::span<uint8_t> buffer,
                                      const std::atomic<bool>& cancelled,
                                      const std::function<void(uint64_t)>& on_bytes) {
  std::vector<HashedSource> hashed(paths.size());
  uint64_t untold = 0;
  const auto go_on = [&](uint64_t bytes) {
    untold += bytes;
    if (untold >= kChunkBytes) on_bytes(std::exchange(untold, 0));
    return !cancelled;
  };
  std::vector<Opened> files;
  for (size_t i = 0; i < paths.size(); i++) {
    if (Opened file = OpenRegular(paths[i], &hashed[i])) files.push_back(std::move(file));
  }
  // Files of about one size end about together, so that no lane idles.
  std::sort(files.begin(), files.end(), [](const Opened& a, const Opened& b) {
    return a->source.status.size_bytes < b->source.status.size_bytes;
  });
  for (size_t i = 0; i < files.size(); i += kLanes) {
    const size_t count = std::min(kLanes, files.size() - i);
    HashGroup(std::span(files).subspan(i, count), buffer, go_on);
    // Closed before the next ones are read.
    for (size_t j = i; j < i + count; j++) files[j].reset();
  }
  if (untold > 0) on_bytes(untold);
  return hashed;
}

}  // namespace refmount
