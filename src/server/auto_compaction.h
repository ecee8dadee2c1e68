// Compaction by itself, as etcd's --auto-compaction-mode and --auto-compaction-retention ask for it: `periodic` keeps
// the history of the last so many milliseconds, `revision` the last so many revisions. 0 keeps all.
//
// Only the decision when and up to where: pure, with the clock handed in. Every member watches the revisions go by,
// so that a new leader knows the past; only the leader compacts.
#pragma once

#include <cstdint>
#include <deque>

namespace kv::server {

struct AutoCompactionPolicy {
  enum class Mode : uint8_t { kPeriodic, kRevision } mode = Mode::kPeriodic;
  int64_t retention = 0;  // kPeriodic: milliseconds; kRevision: revisions; 0: off
};

// One thread.
class AutoCompaction {
 public:
  AutoCompaction(const AutoCompactionPolicy& policy, int64_t now_ms);

  // The revision to compact to now; 0 when nothing is due. After a revision was given, ended() must be called
  // before another is. `revision` is the current one.
  int64_t poll(int64_t now_ms, int64_t revision, bool leading);
  // That compaction has been done, here or by somebody else before; or it failed, and is tried again when next due.
  void ended(int64_t now_ms, bool done);

  // poll() has nothing to do before; INT64_MAX when it never will.
  int64_t next_ms() const { return next_ms_; }

 private:
  struct Sample {
    int64_t at_ms;
    int64_t revision;
  };
  int64_t due(int64_t now_ms, int64_t revision);

  const AutoCompactionPolicy policy_;
  const int64_t look_every_ms_;     // samples are taken, and failures tried again, this often
  const int64_t compact_every_ms_;  // at most this often
  int64_t next_ms_;
  int64_t not_before_ms_;           // the next compaction
  std::deque<Sample> samples_;      // oldest first; all but the first are younger than the retention
  int64_t running_ = 0;             // given by poll() and not ended
  int64_t last_ = 0;                // the revision of the last one that was done
};

}  // namespace kv::server
