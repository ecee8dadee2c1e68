// Transcripts: etcdctl commands as a person types them, and what the program prints, masked for comparison.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/cluster.h"

namespace kv::differential {

struct Command {
  int line = 0;
  bool sorted = false;             // the lines of its output have no order that both must share
  std::vector<std::string> words;  // without the program's name
  std::string input;               // for its standard input
};

// The file's format, line by line: `#` begins a comment; `$ words...` is a command, with '...' and "..." as in a
// shell; `$sorted words...` one whose lines are sorted before they are compared; what follows `<<END` at a command's
// end, up to a line END, is its input. `{m0}` stands for member 0's client address, `{lease1}` for the first lease
// that the transcript granted. Throws std::runtime_error with the line number for anything else.
std::vector<Command> parse_transcript(const std::string& text);

// What must be masked in the output of one cluster: its ids and addresses, each with the word that takes its place.
using Names = std::map<std::string, std::string>;
Names names_of(harness::Cluster& cluster);

// Runs the command against `cluster`. The answer holds exit code, output and errors, all masked. A lease that it
// grants is added to `names`.
std::string play(const Command& command, const std::string& program, harness::Cluster& cluster, Names& names);

}  // namespace kv::differential
