// What an output stream can show: whether people look at it, in how many columns, with which colours and letters.
//
// On a terminal kvctl prints for people: lists as tables that fit the width, keys and verdicts in colour. Everywhere
// else it prints what etcdctl prints, byte for byte.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace kv::kvctl {

struct Terminal {
  bool is_terminal = false;
  bool colour = false;  // escape sequences may be written; decided by --color, NO_COLOR and TERM
  bool utf8 = true;     // lines and bars may be drawn with box characters
  size_t columns = 80;  // of a terminal; at least 20
};

using VariableReader = std::function<const char*(const char*)>;

// The terminal behind `fd`, if it is one. Its width is $COLUMNS, else what the terminal says; its letters are told by
// $LC_ALL, $LC_CTYPE and $LANG. The colour is left to decide_colour().
Terminal terminal_of(int fd, const VariableReader& variable);

// `when` is auto, always or never: auto is colour on a terminal, unless NO_COLOR is set (https://no-color.org) or TERM
// is "dumb". False for another word.
bool decide_colour(std::string_view when, const VariableReader& variable, Terminal& terminal);

enum class Style : unsigned char { kNone, kKey, kHeading, kGood, kBad, kChanged, kFaint };

// Text in a style, with the escape sequences around it when colour is on.
class Paint {
 public:
  Paint() = default;
  explicit Paint(const Terminal& terminal) : on_(terminal.colour) {}

  std::string operator()(Style style, std::string_view text) const;

 private:
  bool on_ = false;
};

// `text` in one line that a terminal can show: control characters, and bytes that are no UTF-8, as \n, \t, \\ or \x1b.
std::string printable(std::string_view text);
// Columns that a text without control characters takes: its characters, whatever their bytes.
size_t width_of(std::string_view text);
// The first `columns` of a text; one that is cut ends in "...".
std::string cut_to(std::string text, size_t columns);

}  // namespace kv::kvctl
