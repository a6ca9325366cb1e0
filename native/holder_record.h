// The one thing that a holder reads in a mount's record: where it is mounted.

#pragma once

#include <string>
#include <string_view>

namespace refmount {

/// The string at the key "directory" of a JSON object, at its top level; empty when there is none
/// or this is no JSON object. Takes any bytes.
std::string DirectoryOfRecord(std::string_view record);

}  // namespace refmount
