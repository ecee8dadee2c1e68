#include "kvctl/password_prompt.h"

#include <termios.h>
#include <unistd.h>

#include <ostream>

namespace kv::kvctl {

std::optional<std::string> ask_password(std::string_view prompt, std::ostream& out) {
  termios before{};
  if (tcgetattr(STDIN_FILENO, &before) != 0) return std::nullopt;
  out << prompt << std::flush;
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  // Byte by byte: what was typed ahead belongs to whoever reads next.
  std::string line;
  char c = 0;
  bool any = false;
  while (read(STDIN_FILENO, &c, 1) == 1) {
    any = true;
    if (c == '\n') break;
    line += c;
  }
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  out << '\n' << std::flush;
  if (!any) return std::nullopt;
  return line;
}

}  // namespace kv::kvctl
