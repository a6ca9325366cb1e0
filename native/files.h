// Calls about whole files that Node lacks. Blocks.

#pragma once

#include <string>
#include <vector>

#include "failure.h"
#include "fd.h"

namespace refmount {

/// An exclusive flock on `path` (made when missing, mode 0600), held until it is closed. No valid
/// descriptor when somebody else holds it.
Result<Fd> LockFile(const std::string& path);

/// syncfs(2) of the file system that holds `path`.
MaybeFailure SyncFs(const std::string& path);

/// A file in memory with this text, to be read from its beginning; closed on exec unless kept.
Result<Fd> MakeMemoryFile(const std::string& text);

/// From here on SIGTERM, SIGINT and SIGHUP wait for the program that this process becomes: they
/// stay pending at the calling thread, whichever thread they were delivered to. Not undone.
void HoldSignals();

/// Becomes the program at `path` with `arguments` (without argv[0], which is `path`), the
/// environment as it is, signals held or unblocked, standard streams that block, and no other
/// descriptors than those and `keep`. Returns only when that failed.
Failure Exec(const std::string& path, std::vector<std::string> arguments,
             const std::vector<int>& keep);

}  // namespace refmount
