// A failed system call as a value: the addon is built without exceptions. Knows no N-API.

#pragma once

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace refmount {

struct Failure {
  /// errno of the call.
  int number = EIO;
  /// Name of the system call or the program that failed.
  std::string syscall;
  /// What it was about; may be empty.
  std::string path;
  /// More for people, such as what a program printed; may be empty.
  std::string detail;
};

/// Nothing, or why it failed.
using MaybeFailure = std::optional<Failure>;

/// The failure of the system call that just set errno.
inline Failure Errno(const char* syscall, std::string path = {}) {
  return Failure{errno, syscall, std::move(path), {}};
}

/// "mount /x: Permission denied (what a program said)", for a log.
inline std::string Describe(const Failure& failure) {
  std::string text = failure.syscall;
  if (!failure.path.empty()) text += " " + failure.path;
  text += ": ";
  text += strerror(failure.number);
  if (!failure.detail.empty()) text += " (" + failure.detail + ")";
  return text;
}

/// A value, or why there is none.
template <class T>
class Result {
 public:
  Result(T value) : held_(std::move(value)) {}
  Result(Failure failure) : held_(std::move(failure)) {}

  bool ok() const { return held_.index() == 0; }
  T& value() { return *std::get_if<0>(&held_); }
  Failure& failure() { return *std::get_if<1>(&held_); }

 private:
  std::variant<T, Failure> held_;
};

}  // namespace refmount
