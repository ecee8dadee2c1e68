// Numbers, strings and times as Go's standard library writes and reads them. etcdctl's output and flags are made of
// these, and people's scripts read that output: kvctl's must not differ by a byte.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace kv::kvctl {

// A value, or what is wrong with the text in Go's words.
template <typename T>
struct Parsed {
  T value{};
  std::string error;  // empty: none

  bool ok() const { return error.empty(); }
};

// strconv.Quote: "..." with escapes for what isn't printable and for bytes that aren't UTF-8.
std::string go_quote(std::string_view text);

// strconv.Unquote for a whole "..." or `...`; nullopt where the text is neither.
std::optional<std::string> go_unquote(std::string_view quoted);

// strconv.ParseInt(text, base, 64); base 0 takes the base from 0x, 0o, 0b or 0.
Parsed<int64_t> go_parse_int(std::string_view text, int base);

// strconv.ParseUint(text, 16, 64).
Parsed<uint64_t> go_parse_hex(std::string_view text);

// strconv.ParseBool.
Parsed<bool> go_parse_bool(std::string_view text);

// time.ParseDuration and Duration.String.
Parsed<std::chrono::nanoseconds> go_parse_duration(std::string_view text);
std::string go_duration(std::chrono::nanoseconds duration);

// A string of encoding/json, with its quotes: <, > and & are escaped, invalid UTF-8 becomes U+FFFD.
std::string go_json_string(std::string_view text);

std::string base64(std::string_view bytes);
std::string hex(uint64_t value);                  // %x
std::string hex16(int64_t value);                 // %016x
std::string hex_escaped(std::string_view bytes);  // \x61\x62
std::string human_bytes(uint64_t bytes);          // 25 kB: powers of a thousand, one digit behind the point below ten
std::string join(const auto& list, std::string_view separator) {
  std::string out;
  for (const auto& item : list) {
    if (&item != &*std::begin(list)) out += separator;
    out += item;
  }
  return out;
}

}  // namespace kv::kvctl
