// A child process whose end is certain.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace kv::harness {

// How a process ended: its exit code, or minus the signal's number.
using ExitCode = int;

// Runs at once; output goes to a file. Killed with SIGKILL when this object, the thread that made it, or the whole
// test goes away.
class Process {
 public:
  // `argv[0]` is looked up in $PATH. Both output streams are appended to `log_path`. Standard input is empty, or
  // what is written to `input`, a file descriptor that stays the caller's.
  Process(const std::vector<std::string>& argv, const std::string& log_path, std::optional<int> input = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  void signal(int number);
  // Nothing when it still runs after `timeout`.
  std::optional<ExitCode> wait(std::chrono::milliseconds timeout);
  // SIGKILL, and waits.
  void kill();

 private:
  pid_t pid_ = -1;
  std::optional<ExitCode> exit_;
};

struct Output {
  ExitCode exit = 0;
  std::string out;
  std::string err;
};

// Runs a command to its end with `input` on its standard input; killed after `timeout` (exit is then -SIGKILL).
// `environment` is added to ours, as NAME=VALUE.
Output run(const std::vector<std::string>& argv, const std::string& input = "",
           const std::vector<std::string>& environment = {},
           std::chrono::milliseconds timeout = std::chrono::seconds(30));

}  // namespace kv::harness
