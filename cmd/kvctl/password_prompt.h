// A password typed at the terminal, without being shown.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

namespace kv::kvctl {

// Prints `prompt` and reads a line from standard input; nullopt when that is no terminal, or has ended.
std::optional<std::string> ask_password(std::string_view prompt, std::ostream& out);

}  // namespace kv::kvctl
