#include "conformance/differential/background.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "base/check.h"

namespace kv::differential {
namespace {

constexpr std::chrono::seconds kPatience{20};
constexpr std::chrono::milliseconds kPoll{10};

}  // namespace

Background::Background(const std::vector<std::string>& argv, const std::string& log_path) : log_path_(log_path) {
  int pipe[2];
  KV_CHECK(pipe2(pipe, O_CLOEXEC) == 0, "pipe failed");
  ::signal(SIGPIPE, SIG_IGN);  // a line for a command that has ended must not end us
  process_ = std::make_unique<harness::Process>(argv, log_path_, pipe[0]);
  close(pipe[0]);
  input_ = pipe[1];
}

Background::~Background() { close(input_); }

void Background::send(const std::string& line) {
  const std::string text = line + "\n";
  if (write(input_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw std::runtime_error("the command does not read its input");
  }
}

std::string Background::text() const {
  std::ifstream in(log_path_);
  in.seekg(static_cast<std::streamoff>(taken_));
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string Background::lines(int count) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    const bool ended = !process_->running();
    const std::string said = text();
    size_t length = 0;
    int found = 0;
    while (found < count && (length = said.find('\n', length)) != std::string::npos) {
      ++length;
      ++found;
    }
    if (found == count) {
      taken_ += length;
      return said.substr(0, length);
    }
    if (ended || std::chrono::steady_clock::now() > deadline) {
      throw std::runtime_error("the command " + std::string(ended ? "has ended" : "is silent") + " after " +
                               std::to_string(found) + " of " + std::to_string(count) + " lines:\n" + said);
    }
    std::this_thread::sleep_for(kPoll);
  }
}

std::string Background::end() {
  const auto exit = process_->wait(kPatience);
  std::string rest = text();
  taken_ += rest.size();
  if (!exit) throw std::runtime_error("the command does not end; it says:\n" + rest);
  if (*exit != 0) rest += "[exit " + std::to_string(*exit) + "]\n";
  return rest;
}

std::string Background::interrupt() {
  process_->signal(SIGINT);
  return end();
}

}  // namespace kv::differential
