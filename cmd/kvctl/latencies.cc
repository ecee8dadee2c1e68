#include "kvctl/latencies.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <utility>

namespace kv::kvctl {

// Below 64 each microsecond is a bucket of its own; above, the six highest bits of a number name its bucket.
size_t Latencies::bucket_of(uint64_t micros) {
  if (micros < 2 * kSteps) return static_cast<size_t>(micros);
  const auto shift = static_cast<size_t>(std::bit_width(micros)) - 6;
  return std::min(kBuckets - 1, shift * kSteps + static_cast<size_t>(micros >> shift));
}

double Latencies::end_of(size_t bucket) {
  if (bucket < 2 * kSteps) return static_cast<double>(bucket + 1) / 1e6;
  const size_t shift = bucket / kSteps - 1;
  const size_t steps = bucket % kSteps + kSteps + 1;
  return std::ldexp(static_cast<double>(steps), static_cast<int>(shift)) / 1e6;
}

void Latencies::add(std::chrono::nanoseconds took) {
  const int64_t nanos = std::max<int64_t>(took.count(), 0);
  const double seconds = static_cast<double>(nanos) / 1e9;
  ++buckets_[bucket_of(static_cast<uint64_t>(nanos / 1000))];
  fastest_ = count_ == 0 ? seconds : std::min(fastest_, seconds);
  slowest_ = std::max(slowest_, seconds);
  sum_ += seconds;
  squares_ += seconds * seconds;
  ++count_;
}

void Latencies::add(const Latencies& other) {
  if (other.count_ == 0) return;
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  fastest_ = count_ == 0 ? other.fastest_ : std::min(fastest_, other.fastest_);
  slowest_ = std::max(slowest_, other.slowest_);
  sum_ += other.sum_;
  squares_ += other.squares_;
  count_ += other.count_;
}

double Latencies::stddev() const {
  if (count_ == 0) return 0;
  return std::sqrt(std::max(0.0, squares_ / static_cast<double>(count_) - mean() * mean()));
}

double Latencies::percentile(double part) const {
  const auto wanted = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(part * static_cast<double>(count_))));
  int64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return i + 1 == kBuckets ? slowest_ : std::clamp(end_of(i), fastest(), slowest_);
  }
  return slowest_;
}

int64_t Latencies::at_most(double seconds) const {
  int64_t seen = 0;
  // Half a nanosecond: the ends are sums of floating point.
  for (size_t i = 0; i + 1 < kBuckets && end_of(i) <= seconds + 5e-10; ++i) seen += buckets_[i];
  return seconds >= slowest_ ? count_ : seen;
}

std::vector<LatencyStep> Latencies::steps() const {
  constexpr int kUnits[] = {10, 15, 20, 30, 50, 70};
  std::vector<LatencyStep> steps;
  int64_t before = 0;
  for (int i = 0; before < count_; ++i) {
    const double end = kUnits[i % 6] * std::pow(10.0, i / 6) / 1e6;
    const int64_t now = at_most(end);
    if (now > 0) steps.push_back({end, now - before});
    before = now;
  }
  return steps;
}

std::string latency_text(double seconds) {
  const double micros = seconds * 1e6;
  const auto [value, unit] = micros < 999.5     ? std::pair{micros, "us"}
                             : micros < 999'500 ? std::pair{micros / 1e3, "ms"}
                                                : std::pair{seconds, "s"};
  char text[48];
  const int digits = unit[0] == 'u' ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  std::snprintf(text, sizeof text, "%.*f %s", digits, value, unit);
  return text;
}

std::string histogram(const Latencies& latencies, const Terminal& terminal) {
  const std::vector<LatencyStep> steps = latencies.steps();
  int64_t most = 1;
  for (const LatencyStep& step : steps) most = std::max(most, step.count);
  // "  <= 500 us  123456  12.3%  " stands before a bar.
  constexpr size_t kLeft = 36;
  const size_t columns = terminal.is_terminal ? terminal.columns : 80;
  const size_t width = columns > kLeft + 10 ? std::min<size_t>(columns - kLeft, 60) : 10;
  const Paint paint(terminal);
  std::string out;
  for (const auto& [end, count] : steps) {
    char left[64];
    const int64_t units = std::llround(end * 1e6);
    const char* unit = units < 1000 ? "us" : units < 1'000'000 ? "ms" : "s";
    const double scaled = static_cast<double>(units) / (units < 1000 ? 1 : units < 1'000'000 ? 1e3 : 1e6);
    char limit[32];
    std::snprintf(limit, sizeof limit, "%g %s", scaled, unit);
    std::snprintf(left, sizeof left, "  <= %-7s %10lld %5.1f%%  ", limit, static_cast<long long>(count),
                  100 * static_cast<double>(count) / static_cast<double>(latencies.count()));
    const double eighths = 8 * static_cast<double>(width) * static_cast<double>(count) / static_cast<double>(most);
    std::string bar;
    if (terminal.utf8) {
      constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
      const auto n = std::max<size_t>(count > 0 ? 1 : 0, static_cast<size_t>(eighths));
      for (size_t i = 0; i < n / 8; ++i) bar += "█";
      bar += kEighths[n % 8];
    } else {
      bar.assign(std::max<size_t>(count > 0 ? 1 : 0, static_cast<size_t>(eighths / 8)), '#');
    }
    out += left + paint(Style::kKey, bar);
    while (out.ends_with(' ')) out.pop_back();
    out += '\n';
  }
  return out;
}

}  // namespace kv::kvctl
