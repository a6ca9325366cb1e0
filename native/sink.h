// A new file that is written and hashed in order. Blocks; knows no N-API and no threads.

#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "failure.h"
#include "fd.h"
#include "hasher.h"

namespace refmount {

/// One user at a time. A sink that is destroyed before `Finish` succeeded removes its file.
class Sink {
 public:
  /// Makes the file (mode 0600), which must not exist yet.
  static Result<std::unique_ptr<Sink>> Open(std::string path, HashPlan plan);
  ~Sink();

  /// Writes and hashes; after a failure nothing but destruction makes sense.
  MaybeFailure Append(const void* bytes, size_t size);

  uint64_t size_bytes() const { return offset_; }

  /// Makes the file read-only (0400), closes it and gives its hashes. The file stays.
  MaybeFailure Finish(Hashes* hashes);

  /// Removes the file while another thread may be in `Append` or `Finish` (a `Finish` that has not
  /// succeeded yet then fails with ECANCELED): the one function that may be called at any time.
  /// Does nothing after `Finish` succeeded.
  void Unlink();

 private:
  Sink(std::string path, Fd fd, HashPlan plan);

  const std::string path_;
  Fd fd_;
  Hasher hasher_;
  uint64_t offset_ = 0;
  bool failed_ = false;
  /// The file was removed or is finished: nobody may unlink that path any more.
  std::atomic<bool> settled_ = false;
};

}  // namespace refmount
