#include "kvctl/progress.h"

#include <algorithm>
#include <ostream>

#include "kvctl/go_format.h"

namespace kv::kvctl {
namespace {

constexpr size_t kBarWidth = 30;
constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kLine = std::chrono::seconds(10);

const char* names(Progress::Unit unit) {
  return unit == Progress::Unit::kKeys ? " keys" : unit == Progress::Unit::kCalls ? " calls" : "";
}

}  // namespace

std::string Progress::bar(uint64_t done, uint64_t total, std::chrono::duration<double> took, Unit unit) {
  const auto amount = [unit](uint64_t n) { return unit == Unit::kBytes ? human_bytes(n) : std::to_string(n); };
  const double part = total == 0 ? 1 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<size_t>(part * kBarWidth);
  std::string bar(filled, '=');
  if (filled < kBarWidth) bar += '>' + std::string(kBarWidth - filled - 1, ' ');
  std::string percent = std::to_string(static_cast<int>(part * 100)) + "%";
  percent.insert(0, 4 - percent.size(), ' ');
  std::string text = "[" + bar + "] " + percent + "  " + amount(done) + " of " + amount(total);
  text += names(unit);
  if (took.count() > 0) text += ", " + amount(static_cast<uint64_t>(static_cast<double>(done) / took.count())) + "/s";
  return text;
}

void Progress::show(uint64_t done, uint64_t total) {
  const auto now = Clock::now();
  const bool first = last_ == Clock::time_point{};
  if (ended_ || (!first && now - last_ < (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kLine)))) return;
  last_ = now;
  const std::string text = what_ + " " +
                           (terminal_ || !first     ? bar(done, total, now - begin_, unit_)
                            : unit_ == Unit::kBytes ? human_bytes(total)
                                                    : std::to_string(total) + names(unit_));
  if (!terminal_) {
    out_ << text << '\n' << std::flush;
    return;
  }
  // What the longer bar before has left is wiped out.
  out_ << '\r' << text << std::string(width_ > text.size() ? width_ - text.size() : 0, ' ') << std::flush;
  width_ = text.size();
}

void Progress::end() {
  if (width_ > 0) out_ << '\r' << std::string(width_, ' ') << '\r' << std::flush;
  width_ = 0;
  ended_ = true;
}

}  // namespace kv::kvctl
