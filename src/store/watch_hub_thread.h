// The hub in a daemon: one thread that owns a WatchHub, sleeps until there is something to do, and is woken by
// commits and by those who ask something of the hub.
#pragma once

#include <absl/functional/any_invocable.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "store/store.h"
#include "store/watch_hub.h"

namespace kv::store {

class WatchHubThread final : public CommitListener {
 public:
  // All must outlive it, or stop() must come first.
  WatchHubThread(const ChangeSource& source, const WatchHubOptions& options, const Clock& clock);
  ~WatchHubThread() override;
  WatchHubThread(const WatchHubThread&) = delete;
  WatchHubThread& operator=(const WatchHubThread&) = delete;

  using Work = absl::AnyInvocable<void(WatchHub&)>;
  // Runs `work` on the hub's thread, in the order of calls. Whoever posts for a client bounds what a client may have
  // waiting. False after stop(); `work` is then destroyed. Any thread.
  bool post(Work work);

  // After each commit, on the thread that applies. Costs an atomic exchange when the hub is at work anyway or has no
  // stream.
  void committed() override;
  // Counted before what is committed afterwards is visible, so that the hub asks again before it sends any of it.
  void rights_changed() override { rights_.fetch_add(1, std::memory_order_release); }

  // Revisions that are committed and that no watcher who is up to date was told of yet. Any thread.
  int64_t untold_revisions() const;

  // All streams fail with `reason`; no work and no event after it. Not from the hub's thread.
  void stop(const Status& reason);

 private:
  // Who has news for whom. An exchange by both sides, so that either the hub sees the commit or the commit sees the hub
  // asleep.
  enum State : int { kIdle, kNews, kAsleep };

  void run();
  void wake();
  // Sleeps until there is news or work, or until the hub wants a step.
  void sleep(int64_t until_ms);

  const ChangeSource& source_;
  const Clock& clock_;
  std::atomic<int64_t> told_;  // the hub's cursor after its last step
  std::atomic<uint64_t> rights_{0};
  WatchHub hub_;  // the thread's own
  std::atomic<int> state_{kIdle};

  std::mutex mutex_;  // guards all below
  std::condition_variable woken_;
  std::vector<Work> work_;
  bool stopped_ = false;
  Status reason_;
  std::thread thread_;
};

}  // namespace kv::store
