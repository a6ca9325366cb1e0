// The command line of refmount-holder.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "failure.h"
#include "fd.h"

namespace refmount {

inline constexpr char kHolderUsage[] =
    "usage: refmount-holder --socket PATH [--foreground]\n"
    "         [--adopt FD:ID[:CLONES[:STATE_BYTES]] --record PATH_OR_FD]... -- COMMAND...\n";

/// A mount that the holder is born with.
struct InheritedMount {
  Fd device;
  std::string id;
  size_t clones = 0;
  uint64_t state_bytes = 4096;
  std::string record;
};

struct HolderOptions {
  std::string socket_path;
  /// Stay in the session of the caller.
  bool foreground = false;
  std::vector<InheritedMount> inherited;
  std::vector<std::string> command;
};

/// Reads the command line and the records that it names.
Result<HolderOptions> ReadHolderOptions(int count, char** words);

}  // namespace refmount
