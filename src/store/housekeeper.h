// The store's one thread in the background: it compacts history, cuts the blocks of keys to size, and writes their
// checkpoints. It works in small steps and never holds up the thread that applies for longer than one of them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"
#include "store/compaction.h"
#include "store/counts.h"
#include "store/database.h"
#include "store/history.h"
#include "store/view.h"

namespace kv::store {

class Housekeeper {
 public:
  // What it works on; owned by the store, which outlives it.
  struct Parts {
    const Database& database;
    HeadGuard& guard;
    BlockCounts& counts;
    const RecentChanges& recent;
    CommittedView::Published& published;
    uint64_t changes_per_checkpoint;
    size_t changes_per_compaction_step;
  };

  explicit Housekeeper(Parts parts);
  // Stops; those who wait get Unavailable.
  ~Housekeeper();

  // Restores the counts of the state at `revision` and starts the thread, which takes up a compaction that had been
  // interrupted.
  Status start(int64_t revision, int64_t compact_revision);

  // A batch of so many changes was committed; `counts_have_work` as BlockCounts says. The thread that applies.
  void committed(size_t changes, bool counts_have_work);
  // The compact revision is `revision` now, durably. The thread that applies.
  void compact_to(int64_t revision);
  // Calls `done` once a compaction has passed `revision`, or with the error that has ended it. Any thread; `done` comes
  // from any. False, and nothing happens, after stop().
  using Waiter = std::pair<int64_t, std::function<void(Status)>>;
  [[nodiscard]] bool wait_compacted(int64_t revision, const std::function<void(Status)>& done);
  // Ends the work in the background and answers those who wait for it, who are nobody's business any more.
  std::vector<Waiter> stop();

 private:
  void run();
  bool stopping() const { return stop_.load(std::memory_order_relaxed); }
  Status restore_counts(int64_t revision);
  Status cut_blocks();
  Status write_checkpoint();
  bool checkpoint_is_due() const;
  bool pause_compaction();
  // History below is compacted.
  void passed(int64_t below);
  void compacted(int64_t target, const Result<bool>& result);
  // Logs the first error of a kind of work, which is then left alone until the next start.
  void give_up(const char* work, const Status& status);

  const Parts parts_;
  Compaction compaction_;            // the thread's own
  uint64_t checkpoint_ = 0;          // number of the last one; the thread's own
  size_t checkpoint_chunks_ = 0;     // ... and how many records it has
  int64_t checkpoint_revision_ = 0;  // ... and of which revision it is
  bool counts_failed_ = false;       // the thread's own
  std::chrono::steady_clock::time_point last_write_;

  std::atomic<bool> stop_{false};
  std::atomic<bool> counts_have_work_{false};
  std::atomic<uint64_t> changes_since_checkpoint_{0};
  std::atomic<uint64_t> changes_per_checkpoint_{0};

  std::mutex mutex_;  // guards all below
  std::condition_variable wake_;
  int64_t target_ = 0;    // compact up to here
  int64_t finished_ = 0;  // compacted up to here
  Status failure_;        // of the compaction up to target_; ok: none so far
  bool stopped_ = false;
  std::vector<Waiter> waiters_;
  std::thread thread_;
};

}  // namespace kv::store
