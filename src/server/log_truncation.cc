#include "server/log_truncation.h"

#include <algorithm>

namespace kv::server {
namespace {

using raft::Index;

// Bytes are known to this: some thousand marks for the longest log that is held.
constexpr uint64_t kBytesPerMark = 1 << 20;

Index minus(Index index, uint64_t n) { return index.value() > n ? Index(index.value() - n) : Index(0); }

}  // namespace

LogTruncation::LogTruncation(const Options& options, Index first, Index last, uint64_t bytes) : options_(options) {
  const Index before = minus(first, 1);
  marks_.push_back({before, 0});
  const uint64_t entries = last.value() - before.value();
  if (entries == 0) return;
  // How the bytes are spread is not known. Evenly, then.
  const uint64_t marks = std::min(entries, bytes / kBytesPerMark + 1);
  for (uint64_t i = 1; i <= marks; ++i) marks_.push_back({before + entries * i / marks, bytes * i / marks});
}

void LogTruncation::appended(Index first, Index last, uint64_t bytes) {
  while (marks_.size() > 1 && marks_.back().index >= first) marks_.pop_back();
  const uint64_t total = marks_.back().bytes + bytes;
  const bool extends = marks_.size() > 1 && total - marks_[marks_.size() - 2].bytes < kBytesPerMark;
  if (extends) {
    marks_.back() = {last, total};
  } else {
    marks_.push_back({last, total});
  }
}

void LogTruncation::began_after(Index index) {
  while (marks_.size() > 1 && marks_[1].index <= index) marks_.pop_front();
  // A mark in the middle of a megabyte: which half of it is gone is not known, so none is.
  marks_.front().index = index;
}

uint64_t LogTruncation::bytes_after(Index index) const {
  const auto after = std::upper_bound(marks_.begin() + 1, marks_.end(), index,
                                      [](Index i, const Mark& mark) { return i < mark.index; });
  return marks_.back().bytes - std::prev(after)->bytes;
}

Index LogTruncation::with_at_most(uint64_t bytes) const {
  const auto enough = std::partition_point(marks_.begin(), marks_.end(),
                                           [&](const Mark& mark) { return marks_.back().bytes - mark.bytes > bytes; });
  return enough->index;
}

bool LogTruncation::due(Index first, Index applied) const {
  const uint64_t entries = applied + 1 > first ? (applied + 1).value() - first.value() : 0;
  return entries >= options_.snapshot_count + options_.catchup_entries ||
         bytes_after(minus(first, 1)) >= options_.max_bytes;
}

// What would be dropped if nobody were behind and the state had all up to `base` on disk.
Index LogTruncation::wanted(Index base) const {
  return std::min(base, std::max(minus(base, options_.catchup_entries), with_at_most(options_.catchup_bytes)));
}

std::optional<Index> LogTruncation::cut(const Place& place) const {
  if (!due(place.first, place.applied)) return std::nullopt;
  const Index base = std::min(place.applied, place.durable);
  Index index = wanted(base);
  if (place.needed_after && *place.needed_after < index) {
    const Index held = std::max(minus(place.applied, options_.held_entries), with_at_most(options_.held_bytes));
    index = std::min(index, std::max(*place.needed_after, held));
  }
  const Index before = minus(place.first, 1);
  if (index <= before) return std::nullopt;
  // Each cut is a synced write: not for a handful of entries at every turn while somebody holds the rest.
  const bool worth_it = index.value() - before.value() >= std::max<uint64_t>(options_.snapshot_count / 4, 1) ||
                        bytes_after(before) - bytes_after(index) >= options_.max_bytes / 8;
  if (!worth_it) return std::nullopt;
  return index;
}

bool LogTruncation::wants_flush(const Place& place) const {
  if (!due(place.first, place.applied)) return false;
  return place.durable < wanted(place.applied);
}

}  // namespace kv::server
