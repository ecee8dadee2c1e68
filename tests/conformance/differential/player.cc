#include "conformance/differential/player.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

namespace kv::differential {
namespace {

constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kPoll{50};

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  return line;
}

}  // namespace

Player::Player(std::string program, harness::Cluster& cluster)
    : program_(std::move(program)), cluster_(cluster), names_(names_of(cluster)) {}

std::string Player::play(const Command& command) {
  using Kind = Command::Kind;
  if (command.kind == Kind::kRun) return differential::play(command, program_, cluster_, names_);
  try {
    if (command.kind == Kind::kUntil) return play_until(command);
    if (command.kind == Kind::kStart) {
      start(command);
      return "";
    }
    const auto found = started_.find(command.name);
    if (found == started_.end()) throw std::runtime_error("nothing of that name was started");
    const auto& [of, background] = found->second;
    switch (command.kind) {
      case Kind::kSend: background->send(joined(command.words)); return "";
      case Kind::kLines: return masked(of, background->lines(command.lines), names_);
      case Kind::kEnd: return masked(of, background->end(), names_);
      default: return masked(of, background->interrupt(), names_);
    }
  } catch (const std::runtime_error& failure) {
    throw std::runtime_error("line " + std::to_string(command.line) + ", " + command.text + ": " + failure.what());
  }
}

std::string Player::play_until(const Command& command) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    std::string answer = differential::play(command, program_, cluster_, names_);
    if (std::count(answer.begin(), answer.end(), '\n') == command.lines) return answer;
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("it stays at\n" + answer);
    std::this_thread::sleep_for(kPoll);
  }
}

void Player::start(const Command& command) {
  if (started_.count(command.name) > 0) throw std::runtime_error("that name was given before");
  std::vector<std::string> argv = argv_of(command, program_, cluster_, names_);
  argv.insert(argv.begin(), {"env", "ETCDCTL_API=3"});
  const std::string log = (dir_.path() / command.name).string();
  started_[command.name] = {command, std::make_unique<Background>(argv, log)};
}

}  // namespace kv::differential
