#include "sim_disk.h"

#include <utility>

#include "base/check.h"

namespace kv::sim {

using raft::Entry;
using raft::Index;

std::optional<raft::Term> LogImage::term(Index index) const {
  if (index == start.index) return start.term;
  if (index < start.index || index > last_index()) return std::nullopt;
  return at(index).term;
}

const Entry& LogImage::at(Index index) const {
  KV_CHECK(index > start.index && index <= last_index(), "no entry at this index");
  return entries[index - start.index - 1];
}

bool LogImage::append(const std::vector<Entry>& added, bool keep_tail) {
  if (added.empty()) return true;
  const Index first = added.front().index;
  if (first <= start.index || first > last_index() + 1) return false;
  for (size_t i = 0; i < added.size(); ++i) {
    if (added[i].index != first + i) return false;
  }
  const size_t kept = first - start.index - 1;
  if (keep_tail) {
    for (size_t i = 0; i < added.size(); ++i) {
      if (kept + i < entries.size()) {
        entries[kept + i] = added[i];
      } else {
        entries.push_back(added[i]);
      }
    }
    return true;
  }
  entries.resize(kept);
  entries.insert(entries.end(), added.begin(), added.end());
  return true;
}

void LogImage::begin_after(const raft::SnapshotMeta& meta) {
  const auto known = term(meta.index);
  if (known == meta.term) {
    entries.erase(entries.begin(), entries.begin() + static_cast<ptrdiff_t>(meta.index - start.index));
  } else {
    entries.clear();
  }
  start = meta;
}

SimDisk::SimDisk(Visibility visibility, Break broken, const LogImage& initial)
    : visibility_(visibility), broken_(broken), written_(initial), durable_(initial) {}

void SimDisk::apply(const Write& write, LogImage& image) const {
  if (write.hard_state && !(broken_ == Break::kDropHardState && write.entries.empty())) {
    image.hard_state = *write.hard_state;
  }
  const bool keep_tail = broken_ == Break::kKeepOverwrittenTail && &image == &durable_;
  KV_CHECK(image.append(write.entries, keep_tail), "a write was checked when it was made");
  if (write.begin_after) image.begin_after(*write.begin_after);
}

std::optional<uint64_t> SimDisk::write(const std::optional<raft::HardState>& hard_state, std::vector<Entry> entries) {
  if (!written_.append(entries, false)) return std::nullopt;
  pending_.push_back({hard_state, std::move(entries), std::nullopt});
  if (hard_state) written_.hard_state = *hard_state;
  return written_to();
}

uint64_t SimDisk::begin_after(const raft::SnapshotMeta& meta) {
  written_.begin_after(meta);
  pending_.push_back({std::nullopt, {}, meta});
  return written_to();
}

void SimDisk::sync(uint64_t number) {
  while (durable_to_ < number && !pending_.empty()) {
    const auto& next = pending_.front().hard_state;
    const raft::HardState& now = durable_.hard_state;
    if (next && (next->term != now.term || next->vote != now.vote)) previous_durable_hard_state_ = now;
    apply(pending_.front(), durable_);
    pending_.pop_front();
    ++durable_to_;
  }
}

size_t SimDisk::crash(Random& random, bool torn) {
  if (torn && !pending_.empty()) sync(durable_to_ + random.below(pending_.size() + 1));
  const size_t lost = pending_.size();
  pending_.clear();
  switch (broken_) {
    case Break::kLoseSyncedVote: durable_.hard_state.vote = raft::NodeId(0); break;
    case Break::kLoseSyncedTerm:
      if (previous_durable_hard_state_) durable_.hard_state = *previous_durable_hard_state_;
      break;
    case Break::kLoseSyncedEntry:
      if (!durable_.entries.empty()) durable_.entries.pop_back();
      break;
    default: break;
  }
  written_ = durable_;
  return lost;
}

std::vector<Entry> SimDisk::entries(Index from, Index to, size_t max_bytes) const {
  std::vector<Entry> out;
  if (from < first_index() || to > last_index() + 1 || from > to) {
    if (misread_.empty()) {
      misread_ = "entries [" + to_string(from) + ", " + to_string(to) + ") asked of a log that holds [" +
                 to_string(first_index()) + ", " + to_string(last_index()) + "]";
    }
    return out;
  }
  size_t bytes = 0;
  for (Index i = from; i < to; ++i) {
    const Entry& entry = seen().at(i);
    bytes += entry.bytes();
    if (bytes > max_bytes && !out.empty()) break;
    out.push_back(entry);
  }
  return out;
}

}  // namespace kv::sim
