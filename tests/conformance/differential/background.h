// A command that runs while others do: a watch that waits for changes, the holder of a lock.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "harness/process.h"

namespace kv::differential {

class Background {
 public:
  // Starts it. What it says, on both of its output streams, goes to a file at `log_path`.
  Background(const std::vector<std::string>& argv, const std::string& log_path);
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // Writes a line to its standard input, which is open until this object goes.
  void send(const std::string& line);
  // The next so many lines that it says; throws std::runtime_error with what there is when they don't come in time.
  std::string lines(int count);
  // Waits for its end. The rest of what it says, and its exit code if that is not 0.
  std::string end();
  // Likewise after an interrupt, as by Ctrl-C.
  std::string interrupt();

 private:
  std::string text() const;  // all that it has said beyond what was taken

  std::string log_path_;
  size_t taken_ = 0;  // bytes
  int input_ = -1;
  std::unique_ptr<harness::Process> process_;
};

}  // namespace kv::differential
