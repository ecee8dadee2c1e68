// Transcripts: etcdctl commands as a person types them, and what the program prints, masked for comparison.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/cluster.h"

namespace kv::differential {

struct Command {
  enum class Kind {
    kRun,        // `$`: run to its end
    kUntil,      // `$until N`: run again and again until its output has N lines
    kStart,      // `&name`: started, and left to run while others do
    kSend,       // `>name`: `words` are a line for the standard input of one that was started
    kLines,      // `<name N`: the next N lines of its output
    kEnd,        // `<name end`: waits for its end; the rest of its output
    kInterrupt,  // `!name`: likewise, after a Ctrl-C
  };

  int line = 0;
  Kind kind = Kind::kRun;
  bool sorted = false;             // the lines of its output have no order that both must share
  std::string name = {};           // of a command that was started
  int lines = 0;                   // N
  std::vector<std::string> words;  // without the program's name
  std::string input;               // for its standard input
  std::string text;                // the line of the transcript
};

// The file's format, line by line: `#` begins a comment; a command begins with one of the marks of Command::Kind, and
// has words, with '...' and "..." as in a shell; `$sorted words...` is one whose lines are sorted before they are
// compared; what follows `<<END` at a command's end, up to a line END, is its input. `{m0}` stands for member 0's
// client address, `{lease1}` for the first lease that the transcript granted. Throws std::runtime_error with the line
// number for anything else.
std::vector<Command> parse_transcript(const std::string& text);

// What must be masked in the output of one cluster: its ids and addresses, each with the word that takes its place.
using Names = std::map<std::string, std::string>;
Names names_of(harness::Cluster& cluster);

// Program and arguments, with the addresses of `cluster` filled in; the leases' ids too.
std::vector<std::string> argv_of(const Command& command, const std::string& program, harness::Cluster& cluster,
                                 const Names& names);
// What must differ between two runs masked in what `command` has said.
std::string masked(const Command& command, const std::string& output, const Names& names);

// Runs the command to its end. The answer holds exit code, output and errors, all masked. A lease that it grants is
// added to `names`.
std::string play(const Command& command, const std::string& program, harness::Cluster& cluster, Names& names);

}  // namespace kv::differential
