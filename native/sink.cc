#include "sink.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

namespace refmount {

Sink::Sink(std::string path, Fd fd, HashPlan plan)
    : path_(std::move(path)), fd_(std::move(fd)), hasher_(std::move(plan)) {}

Result<std::unique_ptr<Sink>> Sink::Open(std::string path, HashPlan plan) {
  Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return Errno("open", std::move(path));
  return std::unique_ptr<Sink>(new Sink(std::move(path), std::move(fd), std::move(plan)));
}

Sink::~Sink() { Unlink(); }

MaybeFailure Sink::Append(const void* bytes, size_t size) {
  if (failed_ || !fd_.valid()) return Failure{EBADF, "write", path_, "the sink is no longer open"};
  const auto* from = static_cast<const uint8_t*>(bytes);
  for (size_t left = size; left > 0;) {
    const ssize_t written = pwrite(fd_.get(), from, left, static_cast<off_t>(offset_));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      failed_ = true;
      return Errno("write", path_);
    }
    offset_ += static_cast<uint64_t>(written);
    from += written;
    left -= static_cast<size_t>(written);
  }
  hasher_.Update(bytes, size);
  return {};
}

MaybeFailure Sink::Finish(Hashes* hashes) {
  if (failed_ || !fd_.valid()) return Failure{EBADF, "close", path_, "the sink is no longer open"};
  failed_ = true;
  if (!hasher_.Finish(hashes)) return Failure{ENOTSUP, "hash", path_, "OpenSSL refused a digest"};
  if (fchmod(fd_.get(), 0400) != 0) return Errno("fchmod", path_);
  // Network file systems report what they could not write only here.
  if (close(fd_.release()) != 0 && errno != EINTR) return Errno("close", path_);
  if (settled_.exchange(true)) return Failure{ECANCELED, "close", path_, "the sink was aborted"};
  return {};
}

void Sink::Unlink() {
  if (!settled_.exchange(true)) unlink(path_.c_str());
}

}  // namespace refmount
