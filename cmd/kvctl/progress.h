// How far something long has come: a bar that is drawn over and over on a terminal, a line now and then elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace kv::kvctl {

class Progress {
 public:
  enum class Unit : unsigned char { kBytes, kKeys, kCalls };

  // `terminal`: whether `out`, which outlives it, can take a carriage return.
  Progress(std::ostream& out, bool terminal, std::string what, Unit unit = Unit::kBytes)
      : out_(out), terminal_(terminal), what_(std::move(what)), unit_(unit) {}
  ~Progress() { end(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(uint64_t done, uint64_t total);
  // Clears the bar; nothing is shown afterwards.
  void end();

  // "[=====>    ]  54%  540 MB of 1 GB, 87 MB/s", for tests.
  static std::string bar(uint64_t done, uint64_t total, std::chrono::duration<double> took, Unit unit = Unit::kBytes);

 private:
  using Clock = std::chrono::steady_clock;

  std::ostream& out_;
  const bool terminal_;
  const std::string what_;
  const Unit unit_;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point last_{};
  size_t width_ = 0;  // of the bar that stands there; 0: none
  bool ended_ = false;
};

}  // namespace kv::kvctl
