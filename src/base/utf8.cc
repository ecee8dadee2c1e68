#include "base/utf8.h"

namespace kv {

CodePoint decode_utf8(std::string_view text) {
  if (text.empty()) return {};
  constexpr CodePoint kInvalid{kReplacementCharacter, 1};
  const auto byte = [&](size_t i) -> char32_t { return static_cast<unsigned char>(text[i]); };
  const auto bits = [&](size_t i) { return byte(i) & 0x3f; };
  const auto follows = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  // Below 0xc2 are bytes that follow, and leads of forms too long for ASCII. The value tells of the others.
  if (lead < 0xc2 || lead > 0xf4) return kInvalid;
  if (lead < 0xe0) {
    if (text.size() < 2 || !follows(1)) return kInvalid;
    return {(lead & 0x1f) << 6 | bits(1), 2};
  }
  if (lead < 0xf0) {
    if (text.size() < 3 || !follows(1) || !follows(2)) return kInvalid;
    const char32_t value = (lead & 0x0f) << 12 | bits(1) << 6 | bits(2);
    if (value < 0x800 || (value >= 0xd800 && value < 0xe000)) return kInvalid;
    return {value, 3};
  }
  if (text.size() < 4 || !follows(1) || !follows(2) || !follows(3)) return kInvalid;
  const char32_t value = (lead & 0x07) << 18 | bits(1) << 12 | bits(2) << 6 | bits(3);
  if (value < 0x10000 || value > 0x10ffff) return kInvalid;
  return {value, 4};
}

size_t utf8_length(std::string_view text) {
  const CodePoint first = decode_utf8(text);
  return first.valid() ? first.length : 0;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

void append_utf8(char32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

}  // namespace kv
