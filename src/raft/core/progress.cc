#include "raft/core/progress.h"

#include <algorithm>

#include "base/check.h"

namespace kv::raft {

void Inflight::add(Index last, size_t bytes) {
  KV_CHECK(!full(), "the window is full");
  KV_CHECK(requests_.empty() || requests_.back().last < last, "requests leave in order");
  requests_.push_back({last, bytes});
  bytes_ += bytes;
}

void Inflight::acknowledge(Index index) {
  while (!requests_.empty() && requests_.front().last <= index) {
    bytes_ -= requests_.front().bytes;
    requests_.pop_front();
  }
}

void Inflight::clear() {
  requests_.clear();
  bytes_ = 0;
}

bool Progress::may_send() const {
  switch (state_) {
    case ProgressState::kProbe: return !paused_;
    case ProgressState::kReplicate: return !inflight_.full();
    case ProgressState::kSnapshot: return false;
  }
  return false;
}

void Progress::sent_entries(Index last, size_t bytes) {
  KV_CHECK(may_send() && last >= next_, "nothing may be sent now");
  if (state_ == ProgressState::kProbe) {
    paused_ = true;  // `next` stays: where the logs agree is still a guess
    return;
  }
  next_ = last + 1;
  inflight_.add(last, bytes);
}

void Progress::sent_empty() {
  if (state_ == ProgressState::kProbe) paused_ = true;
}

void Progress::sent_snapshot(Index index) {
  state_ = ProgressState::kSnapshot;
  snapshot_ = index;
  snapshot_ticks_ = 0;
  paused_ = false;
  inflight_.clear();
}

bool Progress::accepted(Index index, Index available) {
  const bool news = index > match_;
  if (news) {
    match_ = index;
    next_ = std::max(next_, match_ + 1);
  }
  switch (state_) {
    case ProgressState::kProbe:
      // A late answer to an earlier request says nothing about the present guess, unless it is the guess.
      if (!news && index != next_ - 1) return false;
      state_ = ProgressState::kReplicate;
      next_ = match_ + 1;
      match_when_heard_ = match_;
      inflight_.clear();
      return true;
    case ProgressState::kReplicate: inflight_.acknowledge(index); return news;
    case ProgressState::kSnapshot:
      if (match_ < available) return news;
      state_ = ProgressState::kReplicate;
      next_ = match_ + 1;
      match_when_heard_ = match_;
      return true;
  }
  return false;
}

bool Progress::rejected(Index rejected, Index hint) {
  switch (state_) {
    case ProgressState::kReplicate:
      // Something on the way was lost. Up to `match` the logs are known to agree: go on from there.
      if (rejected <= match_) return false;
      probe();
      return true;
    case ProgressState::kProbe:
      if (rejected != next_ - 1) return false;
      next_ = std::max(std::min(rejected, hint + 1), match_ + 1);
      paused_ = false;
      return true;
    case ProgressState::kSnapshot: return false;
  }
  return false;
}

bool Progress::heard() {
  switch (state_) {
    case ProgressState::kProbe: paused_ = false; return false;
    case ProgressState::kReplicate: {
      const bool stuck = !inflight_.empty() && match_ == match_when_heard_;
      match_when_heard_ = match_;
      return stuck;
    }
    case ProgressState::kSnapshot: return false;
  }
  return false;
}

void Progress::snapshot_failed() {
  if (state_ != ProgressState::kSnapshot) return;
  probe();
  paused_ = true;
}

void Progress::unreachable() {
  // With nothing on its way nothing was lost: the logs are still known to agree up to next() - 1.
  if (state_ == ProgressState::kReplicate && !inflight_.empty()) probe();
  // Whoever was fetching may have been restarted and knows of no offer. One that fetches still ignores the next.
  snapshot_failed();
}

void Progress::tick(uint32_t limit) {
  if (state_ == ProgressState::kSnapshot && ++snapshot_ticks_ >= limit) snapshot_failed();
}

void Progress::probe() {
  state_ = ProgressState::kProbe;
  next_ = match_ + 1;
  paused_ = false;
  inflight_.clear();
}

}  // namespace kv::raft
