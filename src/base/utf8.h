// Characters as UTF-8, by the strict rules of Unicode's table of well-formed sequences: no longer form of a shorter
// one, no half of a surrogate pair, nothing past U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace kv {

constexpr char32_t kReplacementCharacter = 0xfffd;

struct CodePoint {
  char32_t value = kReplacementCharacter;
  size_t length = 0;  // in bytes

  // U+FFFD itself takes three bytes.
  bool valid() const { return value != kReplacementCharacter || length > 1; }
};

// The character that `text` begins with. Where it begins with none that is U+FFFD in one byte, in none when it is
// empty: as Go's utf8.DecodeRune has it, so that whoever goes on behind that one byte finds characters where Go does.
CodePoint decode_utf8(std::string_view text);

// The bytes of the character that `text` begins with; 0 when it begins with none.
size_t utf8_length(std::string_view text);

bool is_utf8(std::string_view text);

// `code` must be a Unicode scalar value: no surrogate, at most U+10FFFF.
void append_utf8(char32_t code, std::string& out);

}  // namespace kv
