// One state on disk, and all that is kept in memory of it. A store serves one; when it is replaced (Store::install),
// those who read keep theirs until they are done, and then it is closed and its directory removed.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store/batch.h"
#include "store/checkpoint.h"
#include "store/counts.h"
#include "store/database.h"
#include "store/head_cache.h"
#include "store/history.h"
#include "store/housekeeper.h"
#include "store/leases.h"
#include "store/view.h"

namespace kv::store {

struct Generation {
  Generation(const StoreOptions& options, const std::string& path, std::unique_ptr<Database> database,
             const StateInfo& info);
  // Reads what memory needs and begins the work in the background.
  Status start();

  CommittedView view(bool with_snapshot) const {
    return CommittedView(*database, recent, counts, published, with_snapshot);
  }

  const std::string path;
  const StateInfo info;  // as it was opened
  const std::unique_ptr<Database> database;
  std::shared_ptr<const AuthState> auth;  // as it was opened; the store takes it when it is served
  RecentChanges recent;
  BlockCounts counts;
  HeadCache cache;
  LeaseTable leases;
  HeadGuard guard;
  CommittedView::Published published;
  ApplyContext context;     // the thread that applies
  Housekeeper housekeeper;  // works on all the above: made last, gone first
  bool replaced = false;    // set before the last owner lets go
};

// What others than the thread that applies work with: the generation that is served now.
class CurrentGeneration {
 public:
  // Keeps it alive. Any thread.
  std::shared_ptr<Generation> get() const {
    const std::lock_guard lock(mutex_);
    return generation_;
  }
  // The one before.
  std::shared_ptr<Generation> exchange(std::shared_ptr<Generation> generation) {
    const std::lock_guard lock(mutex_);
    std::swap(generation, generation_);
    return generation;
  }

 private:
  mutable std::mutex mutex_;  // guards all below
  std::shared_ptr<Generation> generation_;
};

// Closes generations that were replaced and removes their directories, on a thread of its own: the last reader, who may
// be anybody, shall not wait for the disk. The thread begins with the first of them.
class GenerationReaper {
 public:
  // Does what is left to do.
  ~GenerationReaper();

  // One that goes through here when its last owner lets it go. The reaper must outlive it.
  std::shared_ptr<Generation> own(std::unique_ptr<Generation> generation);

 private:
  void take(std::unique_ptr<Generation> generation);
  void run();

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Generation>> dead_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace kv::store
