#include "kvctl/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/utf8.h"

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
    const CodePoint first = decode_utf8(text);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\\') {
      out += "\\\\";
    } else if (c < 0x20 || c == 0x7f || !first.valid()) {
      escaped(c);
    } else if (first.value >= 0x80 && first.value < 0xa0) {  // control characters too, in two bytes
      escaped(c);
      escaped(static_cast<unsigned char>(text[1]));
    } else {
      out += text.substr(0, first.length);
    }
    text.remove_prefix(first.length);
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
  for (size_t shown = 0; shown < keep; ++shown) at += decode_utf8(std::string_view(text).substr(at)).length;
  text.resize(at);
  return text.append(dots.substr(0, columns));
}

}  // namespace kv::kvctl
