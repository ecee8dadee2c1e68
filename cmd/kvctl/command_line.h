// The tree of commands, and the reading of a command line as cobra and pflag (etcdctl's libraries) read it:
// flags anywhere, --name=value or --name value, -w json, -w=json, -wjson, --flag=false, and -- before what is no flag;
// commands by an unambiguous beginning, so that "kvctl compact 5" is "kvctl compaction 5".
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kvctl/exit.h"
#include "kvctl/flags.h"

namespace kv::kvctl {

struct Command {
  std::string name;
  std::string arguments;  // "[options] <key> [range_end]"
  std::string summary;    // one line, in the list of commands
  std::string description{};
  std::string examples{};  // lines as they are typed, indented by two
  std::string group{};     // the heading it stands under

  Flags flags{};
  std::vector<std::unique_ptr<Command>> children{};
  // How many of the arguments that were read stood before the first "--"; nothing when there was none.
  std::optional<size_t> separator{};
  // Null for a command that only has children.
  std::function<Exit(const std::vector<std::string>& arguments)> run{};
};

struct CommandLine {
  std::vector<Command*> path;  // from the root to the command that was named
  std::vector<std::string> arguments;
  bool help = false;

  Command& command() const { return *path.back(); }
  // "kvctl endpoint status"
  std::string command_name() const;
};

// Reads `args`, which begin behind the program's name, and sets the flags of `root`, which every command has, and those
// of the commands on the path. On an error the CommandLine is as far as it was read.
struct ReadCommandLine {
  CommandLine line;
  std::optional<Exit> error;
};
ReadCommandLine read_command_line(Command& root, const std::vector<std::string>& args);

// As read_command_line() for one command's own flags and arguments: a line of a transaction.
std::optional<std::string> read_flags(Flags& flags, const std::vector<std::string>& args,
                                      std::vector<std::string>& arguments);

void print_help(const CommandLine& line, std::ostream& out);
// The flags of `flags`, one a line.
void print_flags(const Flags& flags, std::ostream& out);

// The parts of what print_help() and print_flags() print, for other forms of it.
// The description, or the summary where there is none.
std::string about(const Command& command);
// "kvctl put [options] <key> <value>" for the path to it, as it stands behind "Usage:".
std::string usage(const CommandLine& line);
// The headings of the command's children, in the order in which each comes up first.
std::vector<std::string> groups_of(const Command& command);
// "-w, --write-out string"
std::string flag_name(const Flag& flag);
// "output format: ... (default "simple")"
std::string flag_meaning(const Flag& flag);

}  // namespace kv::kvctl
