#include "kvctl/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace kv::kvctl {
namespace {

constexpr size_t kMinColumns = 20;

bool is_set(const char* value) { return value != nullptr && *value != '\0'; }

bool names_utf8(const VariableReader& variable) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = variable(name);
    if (!is_set(value)) continue;
    std::string text(value);
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
    return text.find("UTF-8") != text.npos || text.find("UTF8") != text.npos;
  }
  return false;
}

const char* sequence(Style style) {
  switch (style) {
    case Style::kNone: return "";
    case Style::kKey: return "\x1b[36m";
    case Style::kHeading: return "\x1b[1m";
    case Style::kGood: return "\x1b[32m";
    case Style::kBad: return "\x1b[31m";
    case Style::kChanged: return "\x1b[33m";
    case Style::kFaint: return "\x1b[2m";
  }
  return "";
}

}  // namespace

Terminal terminal_of(int fd, const VariableReader& variable) {
  Terminal terminal;
  terminal.is_terminal = ::isatty(fd) == 1;
  terminal.utf8 = names_utf8(variable);
  if (!terminal.is_terminal) return terminal;
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) terminal.columns = size.ws_col;
  if (const char* columns = variable("COLUMNS"); is_set(columns)) {
    if (const long given = std::strtol(columns, nullptr, 10); given > 0) terminal.columns = static_cast<size_t>(given);
  }
  terminal.columns = std::max(terminal.columns, kMinColumns);
  return terminal;
}

bool decide_colour(std::string_view when, const VariableReader& variable, Terminal& terminal) {
  if (when == "always" || when == "never") {
    terminal.colour = when == "always";
    return true;
  }
  const char* term = variable("TERM");
  terminal.colour =
      terminal.is_terminal && !is_set(variable("NO_COLOR")) && (term == nullptr || std::string_view(term) != "dumb");
  return when == "auto";
}

std::string Paint::operator()(Style style, std::string_view text) const {
  if (!on_ || style == Style::kNone || text.empty()) return std::string(text);
  return sequence(style) + std::string(text) + "\x1b[0m";
}

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 && lead <= 0xf4  ? 4
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xc2 && lead < 0xe0 ? 2
                                                      : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // No longer form of a shorter one, no half of a surrogate pair, nothing above U+10FFFF.
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) >= 0xa0) || (lead == 0xf0 && byte(1) < 0x90) ||
      (lead == 0xf4 && byte(1) >= 0x90)) {
    return 0;
  }
  return length;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string printable(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  const auto escaped = [&](unsigned char c) {
    out += "\\x";
    out += kDigits[c >> 4];
    out += kDigits[c & 15];
  };
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text[0]);
    const size_t length = utf8_length(text);
    // U+0080 to U+009F are control characters too, in two bytes.
    const bool control = length == 2 && c == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\\') {
      out += "\\\\";
    } else if (c < 0x20 || c == 0x7f || length == 0) {
      escaped(c);
    } else if (control) {
      escaped(c);
      escaped(static_cast<unsigned char>(text[1]));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

size_t width_of(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string cut_to(std::string text, size_t columns) {
  if (width_of(text) <= columns) return text;
  const std::string_view dots = "...";
  const size_t keep = columns > dots.size() ? columns - dots.size() : 0;
  size_t at = 0;
  for (size_t shown = 0; shown < keep; ++shown)
    at += std::max<size_t>(utf8_length(std::string_view(text).substr(at)), 1);
  text.resize(at);
  return text.append(dots.substr(0, columns));
}

}  // namespace kv::kvctl
