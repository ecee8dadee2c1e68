// What may follow on a command line that is being typed, from the tree of commands itself: a command or a flag that
// exists is offered, and none that does not. The shells' scripts (kvctl completion bash|zsh|fish) ask for it by
// `kvctl __complete WORD...`.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "kvctl/command_line.h"

namespace kv::kvctl {

struct Candidate {
  std::string word;
  std::string description{};

  bool operator==(const Candidate&) const = default;
};

// `words` stand behind the program's name; the last is the one that is being typed, and may be empty. In order of the
// tree: commands first, then flags when a dash was typed, or the values of a flag that has a known list of them.
std::vector<Candidate> complete(const Command& root, const std::vector<std::string>& words);

// The flags whose values are a list, for the test that each of them exists.
std::vector<std::string_view> flags_with_values();

// One candidate a line, its description behind a tab.
void print_candidates(const std::vector<Candidate>& candidates, std::ostream& out);

// The script that makes a shell ask; empty for a shell that is not known.
std::string_view completion_script(std::string_view shell);

}  // namespace kv::kvctl
