// How long calls took: counted in narrow buckets, so that any number of them takes the same memory.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kvctl/terminal.h"

namespace kv::kvctl {

struct LatencyStep {
  double end_s;
  int64_t count;
};

class Latencies {
 public:
  void add(std::chrono::nanoseconds took);
  void add(const Latencies& other);

  int64_t count() const { return count_; }
  // In seconds; all zero when nothing was added.
  double fastest() const { return count_ == 0 ? 0 : fastest_; }
  double slowest() const { return slowest_; }
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }
  double stddev() const;
  // What `part` (0 to 1) of the calls took at most, to within 4%.
  double percentile(double part) const;
  // How many calls took at most so long, to within the width of a bucket.
  int64_t at_most(double seconds) const;
  // The counts between 10, 15, 20, 30, 50, 70, 100 ... microseconds, from the fastest to the slowest.
  std::vector<LatencyStep> steps() const;

 private:
  // Each power of two of microseconds in 32 steps; the last bucket holds all above an hour.
  static constexpr size_t kSteps = 32;
  static constexpr size_t kBuckets = kSteps * 28;
  static size_t bucket_of(uint64_t micros);
  static double end_of(size_t bucket);  // in seconds

  std::array<int64_t, kBuckets> buckets_{};
  int64_t count_ = 0;
  double sum_ = 0, squares_ = 0, fastest_ = 0, slowest_ = 0;
};

// "840 us", "1.23 ms", "12.3 ms", "1.05 s".
std::string latency_text(double seconds);

// A line with a bar for each step, as wide as the terminal.
std::string histogram(const Latencies& latencies, const Terminal& terminal);

}  // namespace kv::kvctl
