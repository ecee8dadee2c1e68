#include "server/auto_compaction.h"

#include <algorithm>

namespace kv::server {
namespace {

// Times as etcd's: periodic compacts once a period, hourly at least, and looks ten times as often; revision every five minutes.
constexpr int64_t kFirstRevision = 1;  // of a store that nobody has written to: there is no history
constexpr int64_t kHourMs = 3600 * 1000;
constexpr int64_t kLooksPerCompaction = 10;
constexpr int64_t kRevisionEveryMs = 5 * 60 * 1000;

int64_t compact_every_ms(const AutoCompactionPolicy& policy) {
  return policy.mode == AutoCompactionPolicy::Mode::kRevision ? kRevisionEveryMs : std::min(policy.retention, kHourMs);
}

int64_t look_every_ms(const AutoCompactionPolicy& policy) {
  if (policy.mode == AutoCompactionPolicy::Mode::kRevision) return kRevisionEveryMs;
  return std::max<int64_t>(1, compact_every_ms(policy) / kLooksPerCompaction);
}

}  // namespace

AutoCompaction::AutoCompaction(const AutoCompactionPolicy& policy, int64_t now_ms)
    : policy_(policy),
      look_every_ms_(look_every_ms(policy)),
      compact_every_ms_(compact_every_ms(policy)),
      next_ms_(policy.retention > 0 ? now_ms : INT64_MAX),
      not_before_ms_(now_ms + (policy.mode == AutoCompactionPolicy::Mode::kRevision ? kRevisionEveryMs
                                                                                    : policy.retention)) {}

int64_t AutoCompaction::poll(int64_t now_ms, int64_t revision, bool leading) {
  if (now_ms < next_ms_) return 0;
  next_ms_ = now_ms + look_every_ms_;
  const int64_t target = due(now_ms, revision);
  if (!leading || running_ != 0 || now_ms < not_before_ms_ || target <= kFirstRevision || target == last_)
    return 0;
  return running_ = target;
}

int64_t AutoCompaction::due(int64_t now_ms, int64_t revision) {
  if (policy_.mode == AutoCompactionPolicy::Mode::kRevision) return revision - policy_.retention;
  samples_.push_back({now_ms, revision});
  const int64_t horizon_ms = now_ms - policy_.retention;
  while (samples_.size() > 1 && samples_[1].at_ms <= horizon_ms) samples_.pop_front();
  return samples_.front().at_ms <= horizon_ms ? samples_.front().revision : 0;
}

void AutoCompaction::ended(int64_t now_ms, bool done) {
  if (done) {
    last_ = running_;
    not_before_ms_ = now_ms + compact_every_ms_;
  }
  running_ = 0;
}

}  // namespace kv::server
