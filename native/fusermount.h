// Mounting without privileges: fusermount3, a setuid program, does it and hands back the
// descriptor.

#pragma once

#include <string>

#include "failure.h"
#include "fd.h"

namespace refmount {

/// Mounts read-only at `dir`. The failure of a missing fusermount3 is ENOENT of "spawn"; any other
/// carries what fusermount3 said in `detail`, and the errno that this means.
Result<Fd> FusermountAttach(const std::string& dir, const std::string& fsname, bool allow_other);

MaybeFailure FusermountDetach(const std::string& dir, bool lazy);

}  // namespace refmount
