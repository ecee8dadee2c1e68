// A command that kvctl runs for its user.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace kv::kvctl {

struct ChildExit {
  int code = 0;         // its exit code; 255 when a signal ended it, 1 when it could not be started
  std::string error{};  // in the words of Go's os/exec: "exit status 3"; empty: it ended well
};

enum class ChildInput : unsigned char { kNothing, kOurs };

// Runs `argv` (argv[0] is looked up in $PATH) with our environment and `variables` on top, to its end. It shares our
// output streams, which must have been flushed, and reads nothing, or our standard input. Signals that we hold back
// reach it.
ChildExit run_child(const std::vector<std::string>& argv,
                    const std::vector<std::pair<std::string, std::string>>& variables,
                    ChildInput input = ChildInput::kNothing);

}  // namespace kv::kvctl
