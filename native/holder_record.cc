#include "holder_record.h"

#include <cstdint>
#include <optional>

namespace refmount {
namespace {

void AppendUtf8(uint32_t code, std::string* text) {
  const auto append = [text](uint32_t byte) { *text += static_cast<char>(byte); };
  if (code < 0x80) {
    append(code);
  } else if (code < 0x800) {
    append(0xc0 | code >> 6);
    append(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    append(0xe0 | code >> 12);
    append(0x80 | (code >> 6 & 0x3f));
    append(0x80 | (code & 0x3f));
  } else {
    append(0xf0 | code >> 18);
    append(0x80 | (code >> 12 & 0x3f));
    append(0x80 | (code >> 6 & 0x3f));
    append(0x80 | (code & 0x3f));
  }
}

/// Walks over JSON text. After the end `Next` gives NUL, and strings end nowhere.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool AtEnd() const { return at_ >= text_.size(); }
  char Next() { return AtEnd() ? '\0' : text_[at_++]; }
  void SkipSpace() {
    while (!AtEnd() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      at_++;
  }

  /// The rest of a string whose opening quote was taken.
  std::optional<std::string> String() {
    std::string value;
    while (!AtEnd()) {
      const char c = Next();
      if (c == '"') return value;
      if (c != '\\') {
        value += c;
      } else if (!Escape(&value)) {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

 private:
  bool Escape(std::string* value) {
    static constexpr std::string_view kNames = "\"\\/bfnrt";
    static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char c = Next();
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
      *value += kMeanings[known];
      return true;
    }
    if (c != 'u') return false;
    uint32_t code;
    if (!Hex4(&code)) return false;
    if (code >= 0xd800 && code < 0xdc00) {
      uint32_t low;
      if (Next() != '\\' || Next() != 'u' || !Hex4(&low) || low < 0xdc00 || low > 0xdfff) {
        return false;
      }
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    AppendUtf8(code, value);
    return true;
  }

  bool Hex4(uint32_t* code) {
    *code = 0;
    for (int i = 0; i < 4; i++) {
      const char c = Next();
      const auto digit = std::string_view("0123456789abcdef").find(static_cast<char>(c | 0x20));
      if (digit == std::string_view::npos) return false;
      *code = *code << 4 | static_cast<uint32_t>(digit);
    }
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::string DirectoryOfRecord(std::string_view record) {
  Scanner scanner(record);
  int depth = 0;
  // Only a string directly after "{" or "," of the outer object is one of its keys.
  bool key = false;
  while (!scanner.AtEnd()) {
    scanner.SkipSpace();
    const char c = scanner.Next();
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') depth--;
    if (c != '"') {
      key = depth == 1 && (c == '{' || c == ',');
      continue;
    }
    const auto name = scanner.String();
    if (!name) break;
    if (key && *name == "directory") {
      scanner.SkipSpace();
      if (scanner.Next() != ':') break;
      scanner.SkipSpace();
      if (scanner.Next() != '"') break;
      return scanner.String().value_or("");
    }
    key = false;
  }
  return {};
}

}  // namespace refmount
