#include "kvctl/go_format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <iterator>

#include "base/utf8.h"

namespace kv::kvctl {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};
constexpr Range kPrintable[] = {
#include "kvctl/unicode_print.inc"
};

bool printable(char32_t c) {
  if (c < 0x80) return c >= 0x20 && c < 0x7f;
  const auto* range = std::lower_bound(std::begin(kPrintable), std::end(kPrintable), c,
                                       [](const Range& r, char32_t x) { return r.last < x; });
  return range != std::end(kPrintable) && range->first <= c;
}

std::string formatted(const char* format, auto value) {
  std::array<char, 64> buffer{};
  const int n = std::snprintf(buffer.data(), buffer.size(), format, value);
  return std::string(buffer.data(), static_cast<size_t>(n));
}

constexpr std::pair<char, char> kSimpleEscapes[] = {{'a', '\a'}, {'b', '\b'}, {'f', '\f'},  {'n', '\n'}, {'r', '\r'},
                                                    {'t', '\t'}, {'v', '\v'}, {'\\', '\\'}, {'"', '"'}};

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

// Takes exactly `count` digits from the front of `text`.
std::optional<char32_t> take_number(std::string_view& text, size_t count, int base) {
  if (text.size() < count) return std::nullopt;
  char32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    if (digit(text[i]) >= base) return std::nullopt;
    value = value * static_cast<char32_t>(base) + static_cast<char32_t>(digit(text[i]));
  }
  text.remove_prefix(count);
  return value;
}

// Takes what follows a backslash.
bool take_escape(std::string_view& text, std::string& to) {
  if (text.empty()) return false;
  const char kind = text.front();
  for (const auto& [name, meaning] : kSimpleEscapes) {
    if (kind != name) continue;
    to += meaning;
    text.remove_prefix(1);
    return true;
  }
  if (kind >= '0' && kind <= '7') {
    const auto value = take_number(text, 3, 8);
    if (!value || *value > 0xff) return false;
    to += static_cast<char>(*value);
    return true;
  }
  text.remove_prefix(1);
  if (kind == 'x') {
    const auto value = take_number(text, 2, 16);
    if (value) to += static_cast<char>(*value);
    return value.has_value();
  }
  if (kind != 'u' && kind != 'U') return false;
  const auto value = take_number(text, kind == 'u' ? 4 : 8, 16);
  if (!value || *value > 0x10ffff || (*value >= 0xd800 && *value < 0xe000)) return false;
  append_utf8(*value, to);
  return true;
}

std::string parse_error(std::string_view function, std::string_view text, std::string_view why) {
  return "strconv." + std::string(function) + ": parsing " + go_quote(text) + ": " + std::string(why);
}

}  // namespace

std::string go_quote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const CodePoint first = decode_utf8(text);
    const char32_t c = first.value;
    const auto* escape = std::find_if(std::begin(kSimpleEscapes), std::end(kSimpleEscapes), [c](const auto& e) {
      return c == static_cast<char32_t>(static_cast<unsigned char>(e.second));
    });
    if (escape != std::end(kSimpleEscapes)) {
      out += '\\';
      out += escape->first;
    } else if (!first.valid()) {
      out += formatted("\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(text[0])));
    } else if (printable(c)) {
      out += text.substr(0, first.length);
    } else if (c < 0x80) {
      out += formatted("\\x%02x", static_cast<unsigned>(c));
    } else {
      out += formatted(c < 0x10000 ? "\\u%04x" : "\\U%08x", static_cast<unsigned>(c));
    }
    text.remove_prefix(first.length);
  }
  return out + '"';
}

std::optional<std::string> go_unquote(std::string_view quoted) {
  if (quoted.size() < 2 || quoted.front() != quoted.back()) return std::nullopt;
  const char quote = quoted.front();
  std::string_view text = quoted.substr(1, quoted.size() - 2);
  if (quote == '`') {
    if (text.find('`') != text.npos) return std::nullopt;
    std::string out(text);
    std::erase(out, '\r');
    return out;
  }
  if (quote != '"') return std::nullopt;
  std::string out;
  while (!text.empty()) {
    const char c = text.front();
    if (c == '"' || c == '\n') return std::nullopt;
    text.remove_prefix(1);
    if (c != '\\') {
      out += c;
    } else if (!take_escape(text, out)) {
      return std::nullopt;
    }
  }
  return out;
}

Parsed<int64_t> go_parse_int(std::string_view text, int base) {
  const auto fail = [&](std::string_view why) { return Parsed<int64_t>{0, parse_error("ParseInt", text, why)}; };
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (rest.starts_with('-') || rest.starts_with('+')) rest.remove_prefix(1);
  bool underscores = false;
  if (base == 0) {
    base = 10;
    const char kind = rest.size() > 2 && rest[0] == '0' ? static_cast<char>(rest[1] | 0x20) : '\0';
    if (kind == 'x' || kind == 'o' || kind == 'b') {
      base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
      rest.remove_prefix(2);
    } else if (rest.size() > 1 && rest[0] == '0') {
      base = 8;
      rest.remove_prefix(1);
    }
    underscores = true;
  }
  if (rest.empty()) return fail("invalid syntax");
  const uint64_t limit = negative ? uint64_t{1} << 63 : (uint64_t{1} << 63) - 1;
  uint64_t value = 0;
  bool too_large = false;
  for (const char c : rest) {
    if (underscores && c == '_') continue;
    const int d = digit(c);
    if (d >= base) return fail("invalid syntax");
    const auto unsigned_base = static_cast<uint64_t>(base);
    const auto unsigned_digit = static_cast<uint64_t>(d);
    too_large = too_large || value > (limit - unsigned_digit) / unsigned_base;
    value = too_large ? 0 : value * unsigned_base + unsigned_digit;
  }
  if (too_large) return fail("value out of range");
  return {static_cast<int64_t>(negative ? ~value + 1 : value), {}};
}

Parsed<uint64_t> go_parse_hex(std::string_view text) {
  const auto fail = [&](std::string_view why) { return Parsed<uint64_t>{0, parse_error("ParseUint", text, why)}; };
  if (text.empty()) return fail("invalid syntax");
  uint64_t value = 0;
  bool too_large = false;
  for (const char c : text) {
    const int d = digit(c);
    if (d >= 16) return fail("invalid syntax");
    too_large = too_large || value >> 60 != 0;
    value = value << 4 | static_cast<uint64_t>(d);
  }
  if (too_large) return fail("value out of range");
  return {value, {}};
}

Parsed<bool> go_parse_bool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return {true, {}};
  }
  for (const std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return {false, {}};
  }
  return {false, parse_error("ParseBool", text, "invalid syntax")};
}

Parsed<std::chrono::nanoseconds> go_parse_duration(std::string_view text) {
  using Answer = Parsed<std::chrono::nanoseconds>;
  const auto fail = [&](const std::string& why) { return Answer{{}, "time: " + why + " duration " + go_quote(text)}; };
  struct Unit {
    std::string_view name;
    double ns;
  };
  static constexpr Unit kUnits[] = {{"ns", 1},   {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"\xce\xbcs", 1e3},
                                    {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},        {"h", 3600e9}};
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (rest.starts_with('-') || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return {};
  if (rest.empty()) return fail("invalid");
  double total = 0;
  while (!rest.empty()) {
    const size_t number_size = std::min(rest.find_first_not_of("0123456789."), rest.size());
    const std::string number(rest.substr(0, number_size));
    if (number.find_first_of("0123456789") == number.npos || std::count(number.begin(), number.end(), '.') > 1) {
      return fail("invalid");
    }
    rest.remove_prefix(number_size);
    const std::string_view unit = rest.substr(0, rest.find_first_of("0123456789."));
    if (unit.empty()) return fail("missing unit in");
    const auto* known =
        std::find_if(std::begin(kUnits), std::end(kUnits), [&](const Unit& u) { return u.name == unit; });
    if (known == std::end(kUnits)) return fail("unknown unit " + go_quote(unit) + " in");
    rest.remove_prefix(unit.size());
    total += std::stod(number) * known->ns;
  }
  if (total > 9.2e18) return fail("invalid");
  const auto ns = static_cast<int64_t>(std::llround(total));
  return {std::chrono::nanoseconds(negative ? -ns : ns), {}};
}

std::string go_duration(std::chrono::nanoseconds duration) {
  const int64_t ns = duration.count();
  if (ns == 0) return "0s";
  const uint64_t n = ns < 0 ? ~static_cast<uint64_t>(ns) + 1 : static_cast<uint64_t>(ns);
  // A whole part and up to `digits` digits behind the point, without trailing zeros.
  const auto decimal = [](uint64_t value, int digits) {
    uint64_t unit = 1;
    for (int i = 0; i < digits; ++i) unit *= 10;
    std::string out = std::to_string(value / unit);
    std::string fraction = std::to_string(value % unit + unit).substr(1);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    return fraction.empty() ? out : out + "." + fraction;
  };
  std::string out = ns < 0 ? "-" : "";
  if (n < 1'000) return out + std::to_string(n) + "ns";
  if (n < 1'000'000) return out + decimal(n, 3) + "\xc2\xb5s";
  if (n < 1'000'000'000) return out + decimal(n, 6) + "ms";
  const uint64_t minutes = n / 60'000'000'000;
  if (minutes >= 60) out += std::to_string(minutes / 60) + "h";
  if (minutes > 0) out += std::to_string(minutes % 60) + "m";
  return out + decimal(n % 60'000'000'000, 9) + "s";
}

std::string go_json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const CodePoint first = decode_utf8(text);
    switch (const char32_t c = first.value) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (c < 0x20 || c == '<' || c == '>' || c == '&' || c == 0x2028 || c == 0x2029) {
          out += formatted("\\u%04x", static_cast<unsigned>(c));
        } else if (!first.valid()) {
          out += "\\ufffd";
        } else {
          out += text.substr(0, first.length);
        }
    }
    text.remove_prefix(first.length);
  }
  return out + '"';
}

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = (group << 8) | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      out += i + j > bytes.size() ? '=' : kDigits[(group >> (18 - 6 * j)) & 0x3f];
    }
  }
  return out;
}

std::string hex(uint64_t value) { return formatted("%llx", static_cast<unsigned long long>(value)); }

std::string hex16(int64_t value) {
  if (value >= 0) return formatted("%016llx", static_cast<unsigned long long>(value));
  // Go counts the sign into the width.
  return "-" + formatted("%015llx", ~static_cast<unsigned long long>(value) + 1);
}

std::string hex_escaped(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += formatted("\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
  return out;
}

std::string human_bytes(uint64_t bytes) {
  if (bytes < 10) return std::to_string(bytes) + " B";
  static constexpr std::string_view kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  const auto power = static_cast<size_t>(std::floor(std::log(static_cast<double>(bytes)) / std::log(1000.0)));
  const double value =
      std::floor(static_cast<double>(bytes) / std::pow(1000.0, static_cast<double>(power)) * 10 + 0.5) / 10;
  return formatted(value < 10 ? "%.1f " : "%.0f ", value) + std::string(kUnits[power]);
}

}  // namespace kv::kvctl
