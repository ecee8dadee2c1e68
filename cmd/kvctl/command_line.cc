#include "kvctl/command_line.h"

#include <algorithm>
#include <ostream>
#include <span>

#include "kvctl/go_format.h"

namespace kv::kvctl {
namespace {

// The number of single-character edits between two words.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

// The candidate that `word` may be a slip of; empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    const size_t d = candidate.starts_with(word) ? 1 : distance(word, candidate);
    if (d < best_distance) {
      best = candidate;
      best_distance = d;
    }
  }
  return best;
}

// The flags that may stand where we are: the last sets win.
class Scanner {
 public:
  explicit Scanner(const std::vector<std::string>& args) : args_(args) {}

  void add(Flags& flags) { sets_.push_back(&flags); }

  bool at_end() const { return at_ >= args_.size(); }
  bool help() const { return help_; }

  // Takes the next word. True with an argument, false with a flag that is done with or with an error.
  bool next(std::string& argument) {
    const std::string& word = args_[at_++];
    if (only_arguments_ || word.size() < 2 || word[0] != '-') {
      argument = word;
      return true;
    }
    if (word == "--") {
      only_arguments_ = true;
    } else if (word[1] == '-') {
      take_long(word);
    } else {
      take_short(word);
    }
    return false;
  }

  // True once "--" was passed.
  bool only_arguments() const { return only_arguments_; }

  const std::optional<std::string>& error() const { return error_; }
  const std::string& hint() const { return hint_; }

 private:
  void take_long(const std::string& word) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(2, equals == word.npos ? word.npos : equals - 2);
    const auto [set, flag] = find([&](const Flags& flags) { return flags.find(name); });
    if (flag == nullptr) {
      if (name == "help") {
        help_ = true;
      } else {
        unknown("unknown flag: --" + name, name);
      }
      return;
    }
    if (equals != word.npos) {
      error_ = set->set(*flag, word.substr(equals + 1));
    } else if (flag->is_bool()) {
      error_ = set->set(*flag, "true");
    } else if (!at_end()) {
      error_ = set->set(*flag, args_[at_++]);
    } else {
      error_ = "flag needs an argument: --" + name;
    }
  }

  // -i, -wjson, -w=json, -w json, and -iw json.
  void take_short(const std::string& word) {
    for (size_t i = 1; i < word.size() && !error_; ++i) {
      const char letter = word[i];
      const auto [set, flag] = find([&](const Flags& flags) { return flags.find(letter); });
      if (flag == nullptr) {
        if (letter != 'h') return unknown(std::string("unknown shorthand flag: '") + letter + "' in " + word, "");
        help_ = true;
      } else if (word.substr(i + 1).starts_with('=')) {
        error_ = set->set(*flag, word.substr(i + 2));
        return;
      } else if (flag->is_bool()) {
        error_ = set->set(*flag, "true");
      } else if (i + 1 < word.size()) {
        error_ = set->set(*flag, word.substr(i + 1));
        return;
      } else if (!at_end()) {
        error_ = set->set(*flag, args_[at_++]);
      } else {
        error_ = std::string("flag needs an argument: '") + letter + "' in " + word;
      }
    }
  }

  template <typename Find>
  std::pair<Flags*, const Flag*> find(Find find_in) const {
    for (size_t i = sets_.size(); i-- > 0;) {
      if (const Flag* flag = find_in(*sets_[i])) return {sets_[i], flag};
    }
    return {nullptr, nullptr};
  }

  void unknown(std::string error, const std::string& name) {
    error_ = std::move(error);
    std::vector<std::string> names;
    for (const Flags* flags : sets_) {
      for (const Flag& flag : flags->all()) names.push_back(flag.name);
    }
    if (const std::string guess = nearest(name, names); !name.empty() && !guess.empty()) {
      hint_ = "Did you mean --" + guess + "?";
    } else if (name.empty()) {
      hint_ = "A word that begins with '-' and is no flag goes behind '--'.";
    }
  }

  const std::vector<std::string>& args_;
  size_t at_ = 0;
  std::vector<Flags*> sets_;
  bool only_arguments_ = false;
  bool help_ = false;
  std::optional<std::string> error_;
  std::string hint_;
};

// The child whose name is `word`, or the only one whose name begins so; null when there is none.
Command* child_named(const Command& parent, std::string_view word) {
  Command* found = nullptr;
  for (const auto& child : parent.children) {
    if (child->name == word) return child.get();
    if (!word.empty() && child->name.starts_with(word)) {
      if (found != nullptr) return nullptr;
      found = child.get();
    }
  }
  return found;
}

Exit unknown_command(const CommandLine& line, const std::string& word) {
  std::vector<std::string> names;
  for (const auto& child : line.command().children) names.push_back(child->name);
  std::string hint;
  if (const std::string guess = nearest(word, names); !guess.empty()) {
    hint = "Did you mean '" + line.command_name() + " " + guess + "'? ";
  }
  return {kExitError, "unknown command " + go_quote(word) + " for " + go_quote(line.command_name()),
          hint + "Run '" + line.command_name() + " --help' for usage."};
}

void print_columns(std::span<const std::pair<std::string, std::string>> rows, std::ostream& out) {
  size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, left.size());
  for (const auto& [left, right] : rows) {
    out << "  " << left << std::string(width - left.size() + 2, ' ') << right << "\n";
  }
}

void print_commands(const Command& command, std::ostream& out) {
  size_t width = 0;
  for (const auto& child : command.children) width = std::max(width, child->name.size());
  for (const auto& group : groups_of(command)) {
    out << "\n" << (group.empty() ? "Commands" : group) << ":\n";
    for (const auto& child : command.children) {
      if (child->group != group) continue;
      out << "  " << child->name << std::string(width - child->name.size() + 2, ' ') << child->summary << "\n";
    }
  }
}

}  // namespace

std::string CommandLine::command_name() const {
  std::vector<std::string> names;
  for (const Command* command : path) names.push_back(command->name);
  return join(names, " ");
}

ReadCommandLine read_command_line(Command& root, const std::vector<std::string>& args) {
  ReadCommandLine read;
  read.line.path = {&root};
  Scanner scanner(args);
  scanner.add(root.flags);
  while (!scanner.at_end()) {
    std::string word;
    if (!scanner.next(word)) {
      if (scanner.only_arguments() && !read.line.command().separator) {
        read.line.command().separator = read.line.arguments.size();
      }
      if (!scanner.error()) continue;
      const std::string more = "Run '" + read.line.command_name() + " --help' for usage.";
      read.error = Exit{kExitError, *scanner.error(), scanner.hint().empty() ? more : scanner.hint() + " " + more};
      return read;
    }
    const Command& command = read.line.command();
    if (command.children.empty()) {
      read.line.arguments.push_back(std::move(word));
      continue;
    }
    Command* child = child_named(command, word);
    if (child == nullptr) {
      read.error = unknown_command(read.line, word);
      return read;
    }
    read.line.path.push_back(child);
    scanner.add(child->flags);
  }
  read.line.help = scanner.help();
  return read;
}

std::optional<std::string> read_flags(Flags& flags, const std::vector<std::string>& args,
                                      std::vector<std::string>& arguments) {
  Scanner scanner(args);
  scanner.add(flags);
  while (!scanner.at_end()) {
    std::string word;
    if (scanner.next(word)) arguments.push_back(std::move(word));
    if (scanner.error()) return scanner.error();
  }
  return std::nullopt;
}

std::string about(const Command& command) {
  return command.description.empty() ? command.summary + "." : command.description;
}

std::string usage(const CommandLine& line) {
  const std::string& arguments = line.command().arguments;
  return line.command_name() + (arguments.empty() ? "" : " " + arguments);
}

std::vector<std::string> groups_of(const Command& command) {
  std::vector<std::string> groups;
  for (const auto& child : command.children) {
    if (std::find(groups.begin(), groups.end(), child->group) == groups.end()) groups.push_back(child->group);
  }
  return groups;
}

std::string flag_name(const Flag& flag) {
  std::string name = flag.shorthand != '\0' ? std::string("-") + flag.shorthand + ", " : "";
  name += "--" + flag.name;
  if (!flag.is_bool()) name += " " + flag.type;
  return name;
}

std::string flag_meaning(const Flag& flag) {
  return flag.usage + (flag.default_text.empty() ? "" : " (default " + flag.default_text + ")");
}

void print_flags(const Flags& flags, std::ostream& out) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Flag& flag : flags.all()) {
    rows.emplace_back((flag.shorthand != '\0' ? "" : "    ") + flag_name(flag), flag_meaning(flag));
  }
  print_columns(rows, out);
}

void print_help(const CommandLine& line, std::ostream& out) {
  const Command& command = line.command();
  const std::string name = line.command_name();
  out << about(command) << "\n\nUsage:\n  " << usage(line) << "\n";
  if (!command.examples.empty()) out << "\nExamples:\n" << command.examples << "\n";
  if (!command.children.empty()) print_commands(command, out);
  bool heading = false;
  for (size_t i = 1; i < line.path.size(); ++i) {
    if (line.path[i]->flags.all().empty()) continue;
    if (!heading) out << "\nFlags:\n";
    heading = true;
    print_flags(line.path[i]->flags, out);
  }
  out << "\n";
  if (!command.children.empty()) out << "Use '" << name << " <command> --help' for more about a command.\n";
  out << "Use 'kvctl options' for the flags that every command has (endpoints, timeouts, output formats).\n";
}

}  // namespace kv::kvctl
