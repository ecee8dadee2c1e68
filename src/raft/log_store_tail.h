// What the log keeps in memory: the newest entries, up to a number of bytes, and the term of every entry, as runs.
// Not thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "raft/types.h"

namespace kv::raft {

// The terms of consecutive entries. Terms change with elections only, so runs are few however long the log is.
class TermRuns {
 public:
  // The log begins behind that entry, whose term stays known.
  void reset(Index base, Term term) { runs_.assign(1, {base, term}); }
  void append(Index index, Term term) {
    if (runs_.empty() || runs_.back().second != term) runs_.emplace_back(index, term);
  }
  // Entries from `from` on are gone.
  void cut_suffix(Index from) {
    while (!runs_.empty() && runs_.back().first >= from) runs_.pop_back();
  }
  // Entries before `base` are gone; that of `base` stays known.
  void cut_prefix(Index base) {
    const auto next = std::upper_bound(runs_.begin(), runs_.end(), base, before_run);
    if (next == runs_.begin()) return;
    runs_.erase(runs_.begin(), next - 1);
    runs_.front().first = std::max(runs_.front().first, base);
  }
  // The term at `index`, which must lie between the base and the last entry.
  Term at(Index index) const {
    const auto next = std::upper_bound(runs_.begin(), runs_.end(), index, before_run);
    KV_CHECK(next != runs_.begin(), "a term before the log's beginning was asked for");
    return (next - 1)->second;
  }

 private:
  using Run = std::pair<Index, Term>;  // from that index on
  static bool before_run(Index index, const Run& run) { return index < run.first; }
  std::vector<Run> runs_;
};

// The newest entries, consecutive and up to the end of the log.
class EntryCache {
 public:
  explicit EntryCache(size_t bytes_max) : bytes_max_(bytes_max) {}

  bool empty() const { return entries_.empty(); }
  Index first() const { return entries_.front().index; }
  void append(const Entry& entry) {
    KV_CHECK(entries_.empty() || entry.index == entries_.back().index + 1, "cached entries are consecutive");
    entries_.push_back(entry);
    bytes_ += entry.bytes();
    while (bytes_ > bytes_max_ && !entries_.empty()) pop_front();
  }
  void cut_suffix(Index from) {
    while (!entries_.empty() && entries_.back().index >= from) {
      bytes_ -= entries_.back().bytes();
      entries_.pop_back();
    }
  }
  void cut_prefix(Index base) {
    while (!entries_.empty() && entries_.front().index <= base) pop_front();
  }
  // first() <= index < end of the log.
  const Entry& at(Index index) const { return entries_[index - first()]; }

 private:
  void pop_front() {
    bytes_ -= entries_.front().bytes();
    entries_.pop_front();
  }
  const size_t bytes_max_;
  size_t bytes_ = 0;
  std::deque<Entry> entries_;
};

}  // namespace kv::raft
