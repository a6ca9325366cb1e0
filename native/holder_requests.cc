#include "holder_requests.h"

#include <unistd.h>

#include <charconv>
#include <string_view>

namespace refmount {
namespace {

Answer Error(const std::string& message) { return {"error " + message, {}}; }

std::vector<std::string> Words(std::string_view line) {
  std::vector<std::string> words;
  while (!line.empty()) {
    const size_t end = std::min(line.find(' '), line.size());
    if (end > 0) words.emplace_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

template <class Number>
bool Parse(const std::string& text, Number* number) {
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && stopped == end;
}

Answer Adopt(const std::vector<std::string>& words, Message* request, std::string record,
             HolderState* state) {
  size_t clones;
  uint64_t state_bytes;
  if (words.size() != 4 || !Parse(words[2], &clones) || !Parse(words[3], &state_bytes)) {
    return Error("usage: adopt ID CLONES STATE_BYTES, then the record on the following lines");
  }
  if (request->fds.size() != 1) return Error("adopt takes exactly one descriptor");
  Result<size_t> opened = state->mounts.Adopt(words[1], clones, state_bytes,
                                              std::move(request->fds[0]), std::move(record));
  if (!opened.ok()) return Error(Describe(opened.failure()));
  return {"ok " + std::to_string(opened.value()), {}};
}

Answer Take(const std::vector<std::string>& words, const HolderState& state) {
  if (words.size() != 2) return Error("usage: take ID");
  const KeptMount* mount = state.mounts.Find(words[1]);
  if (mount == nullptr) return Error("no such mount: " + words[1]);
  Answer answer = {"ok " + mount->record, {mount->state.get(), mount->device.get()}};
  for (const Fd& clone : mount->clones) answer.fds.push_back(clone.get());
  return answer;
}

Answer Drop(const std::vector<std::string>& words, HolderState* state) {
  if (words.size() != 2) return Error("usage: drop ID");
  if (!state->mounts.Drop(words[1])) return Error("no such mount: " + words[1]);
  return {"ok", {}};
}

Answer List(const HolderState& state) {
  Answer answer = {"ok", {}};
  for (const auto& [id, mount] : state.mounts.all()) answer.text += " " + id;
  return answer;
}

}  // namespace

Answer AnswerRequest(Message request, HolderState* state) {
  const size_t line_end = std::min(request.text.find('\n'), request.text.size());
  const auto words = Words(std::string_view(request.text).substr(0, line_end));
  const std::string verb = words.empty() ? "" : words[0];
  if (verb == "adopt") {
    std::string record = request.text.substr(std::min(line_end + 1, request.text.size()));
    return Adopt(words, &request, std::move(record), state);
  }
  if (verb == "take") return Take(words, *state);
  if (verb == "list") return List(*state);
  if (verb == "drop") return Drop(words, state);
  if (verb == "restart") {
    state->restart = true;
    return {"ok", {}};
  }
  if (verb == "ping") {
    return {"ok " + std::to_string(getpid()) + " " + std::to_string(state->worker_pid), {}};
  }
  return Error("no such request; known are adopt, take, list, drop, restart, ping");
}

}  // namespace refmount
