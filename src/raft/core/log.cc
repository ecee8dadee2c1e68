#include "raft/core/log.h"

#include <algorithm>

#include "base/check.h"

namespace kv::raft {

Log::Log(const LogReader& reader, size_t max_cached_bytes) : reader_(reader), max_cached_bytes_(max_cached_bytes) {
  written_ = reader.last_index();
  tail_begin_ = next_to_write_ = written_ + 1;
  const std::optional<Term> term = reader.term(written_);
  KV_CHECK(term.has_value(), "the log does not know the term of its last entry");
  before_tail_ = *term;
}

Index Log::first() const { return std::max(floor_, std::min(reader_.first_index(), tail_begin_)); }

std::optional<Term> Log::term(Index index) const {
  if (index > last()) return std::nullopt;
  if (index >= tail_begin_) return at(index).term;
  if (index + 1 == tail_begin_) return before_tail_;
  if (index + 1 < floor_) return std::nullopt;
  return reader_.term(index);
}

Index Log::last_at_most(Index index, Term wanted) const {
  KV_CHECK(index <= last(), "beyond the end of the log");
  Index low = first();
  if (low > Index(0)) --low;
  if (index < low) return index;
  const std::optional<Term> lowest = term(low);
  if (!lowest || *lowest > wanted) return low > Index(0) ? low - 1 : low;
  // Invariant: term(low) <= wanted, and the answer is in [low, high].
  Index high = index;
  while (low < high) {
    const Index middle = low + ((high - low) + 1) / 2;
    const std::optional<Term> there = term(middle);
    if (there && *there <= wanted) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

std::optional<std::vector<Entry>> Log::entries(Index from, Index to, size_t max_bytes) const {
  KV_CHECK(to <= last() + 1, "beyond the end of the log");
  std::vector<Entry> out;
  if (from >= to) return out;
  size_t bytes = 0;
  if (from < tail_begin_) {
    if (from < first()) return std::nullopt;
    out = reader_.entries(from, std::min(to, tail_begin_), max_bytes);
    if (out.empty() || out.front().index != from) return std::nullopt;  // truncated under our hands
    for (const Entry& entry : out) bytes += entry.bytes();
    from = out.back().index + 1;
    if (from < tail_begin_) return out;  // cut by max_bytes
  }
  auto it = tail_.begin() + static_cast<std::ptrdiff_t>(from - tail_begin_);
  const auto end = tail_.begin() + static_cast<std::ptrdiff_t>(to - tail_begin_);
  auto stop = it;
  while (stop != end) {
    bytes += stop->bytes();
    if (bytes > max_bytes && !(out.empty() && stop == it)) break;
    ++stop;
  }
  out.insert(out.end(), it, stop);
  return out;
}

void Log::append(Entry entry) {
  KV_CHECK(entry.index == last() + 1, "a log has no holes");
  KV_CHECK(entry.term >= last_term(), "terms never descend along a log");
  tail_bytes_ += entry.bytes();
  tail_.push_back(std::move(entry));
}

void Log::truncate(Index from) {
  KV_CHECK(from > Index(0) && from <= last() + 1, "nothing to truncate");
  if (from < tail_begin_) {
    // Older than the cache: the tail begins anew, on top of what the reader holds below.
    const std::optional<Term> before = reader_.term(from - 1);
    KV_CHECK(before.has_value(), "truncating what is compacted");
    tail_.clear();
    tail_bytes_ = 0;
    tail_begin_ = from;
    before_tail_ = *before;
  } else {
    while (last() >= from) {
      tail_bytes_ -= tail_.back().bytes();
      tail_.pop_back();
    }
  }
  written_ = std::min(written_, from - 1);
  next_to_write_ = std::min(next_to_write_, from);
  for (Write& write : writes_) write.last = std::min(write.last, from - 1);
}

void Log::reset(Index index, Term term) {
  tail_.clear();
  tail_bytes_ = 0;
  floor_ = tail_begin_ = next_to_write_ = index + 1;
  before_tail_ = term;
  written_ = index;
  for (Write& write : writes_) write.last = std::min(write.last, index);
}

std::vector<Entry> Log::take_unwritten(uint64_t number) {
  if (!has_unwritten()) return {};
  const auto begin = tail_.begin() + static_cast<std::ptrdiff_t>(next_to_write_ - tail_begin_);
  std::vector<Entry> out(begin, tail_.end());
  next_to_write_ = last() + 1;
  writes_.push_back({number, last()});
  return out;
}

void Log::wrote(uint64_t number) {
  while (!writes_.empty() && writes_.front().number <= number) {
    written_ = std::max(written_, writes_.front().last);
    writes_.pop_front();
  }
}

void Log::trim(Index commit) {
  if (tail_bytes_ <= max_cached_bytes_) return;
  const Index limit = std::min(commit, written_);
  while (tail_bytes_ > max_cached_bytes_ && !tail_.empty() && tail_begin_ <= limit) {
    before_tail_ = tail_.front().term;
    tail_bytes_ -= tail_.front().bytes();
    tail_.pop_front();
    ++tail_begin_;
  }
}

}  // namespace kv::raft
