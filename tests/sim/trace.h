// What happened in a run. Every event goes into one hash: two runs with the same hash did the same. The text
// costs far more than the run itself, so it is made only when somebody reads it; a run that failed is run again
// with text.
#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>
#include <utility>

#include "draw.h"

namespace kv::sim {

class Trace {
 public:
  enum class Text {
    kNone,   // the hash only
    kTail,   // keep the last lines
    kPrint,  // every line to stdout as it happens
  };

  explicit Trace(Text text) : text_(text) {}

  // `digest` stands for everything that `line` would tell; `line` is called only when text is wanted.
  template <typename Line>
  void note(uint64_t now_us, uint64_t node, uint64_t digest, Line&& line) {
    hash_ = mix(mix(mix(hash_, now_us), node), digest);
    if (text_ == Text::kNone) return;
    add(now_us, node, std::forward<Line>(line)());
  }

  uint64_t hash() const { return hash_; }
  const std::deque<std::string>& tail() const { return tail_; }

 private:
  static constexpr size_t kTailLines = 60;

  void add(uint64_t now_us, uint64_t node, const std::string& line) {
    char head[48];
    if (node == 0) {
      std::snprintf(head, sizeof head, "%10.3f ms  --  ", static_cast<double>(now_us) / 1000);
    } else {
      std::snprintf(head, sizeof head, "%10.3f ms  n%-3llu", static_cast<double>(now_us) / 1000,
                    static_cast<unsigned long long>(node));
    }
    if (text_ == Text::kPrint) {
      std::printf("%s%s\n", head, line.c_str());
      return;
    }
    tail_.push_back(head + line);
    if (tail_.size() > kTailLines) tail_.pop_front();
  }

  Text text_;
  uint64_t hash_ = 0;
  std::deque<std::string> tail_;
};

}  // namespace kv::sim
