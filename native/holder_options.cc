#include "holder_options.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "seqpacket.h"

namespace refmount {
namespace {

Failure Usage(std::string what) { return Failure{EINVAL, "options", {}, std::move(what)}; }

template <class Number>
bool Parse(std::string_view text, Number* number) {
  const auto [stopped, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && stopped == text.data() + text.size();
}

/// FD:ID[:CLONES[:STATE_BYTES]]
Result<InheritedMount> ReadAdopt(std::string_view text) {
  std::vector<std::string_view> fields;
  while (true) {
    const size_t end = std::min(text.find(':'), text.size());
    fields.push_back(text.substr(0, end));
    if (end == text.size()) break;
    text.remove_prefix(end + 1);
  }
  int fd = -1;
  InheritedMount mount;
  if (fields.size() < 2 || fields.size() > 4 || !Parse(fields[0], &fd) ||
      (fields.size() > 2 && !Parse(fields[2], &mount.clones)) ||
      (fields.size() > 3 && !Parse(fields[3], &mount.state_bytes))) {
    return Usage("--adopt takes FD:ID[:CLONES[:STATE_BYTES]]");
  }
  // Not to be inherited by the worker, which takes it like any other.
  if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    return Usage("--adopt names no open descriptor");
  mount.device = Fd(fd);
  mount.id = fields[1];
  return mount;
}

Result<std::string> ReadRecord(const std::string& source) {
  int inherited = -1;
  const Fd fd(Parse(std::string_view(source), &inherited)
                  ? inherited
                  : open(source.c_str(), O_RDONLY | O_CLOEXEC));
  std::string record;
  char buffer[4096];
  while (true) {
    const ssize_t got = read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Errno("read", source);
    if (got == 0) return record;
    record.append(buffer, static_cast<size_t>(got));
    if (record.size() > kMaxRecordBytes) return Failure{EMSGSIZE, "read", source, {}};
  }
}

}  // namespace

Result<HolderOptions> ReadHolderOptions(int count, char** words) {
  HolderOptions options;
  bool record_missing = false;
  for (int at = 1; at < count; at++) {
    const std::string_view word = words[at];
    if (word == "--") {
      options.command.assign(words + at + 1, words + count);
      break;
    }
    if (word == "--foreground") {
      options.foreground = true;
      continue;
    }
    if (at + 1 == count) return Usage("a value is missing after " + std::string(word));
    const std::string value = words[++at];
    if (word == "--socket") {
      options.socket_path = value;
    } else if (word == "--adopt") {
      if (record_missing) return Usage("each --adopt needs a --record");
      Result<InheritedMount> mount = ReadAdopt(value);
      if (!mount.ok()) return mount.failure();
      options.inherited.push_back(std::move(mount.value()));
      record_missing = true;
    } else if (word == "--record" && record_missing) {
      Result<std::string> record = ReadRecord(value);
      if (!record.ok()) return record.failure();
      options.inherited.back().record = std::move(record.value());
      record_missing = false;
    } else {
      return Usage("not understood: " + std::string(word));
    }
  }
  if (options.socket_path.empty()) return Usage("--socket is missing");
  if (options.command.empty()) return Usage("the worker's command is missing after --");
  if (record_missing) return Usage("each --adopt needs a --record");
  return options;
}

}  // namespace refmount
