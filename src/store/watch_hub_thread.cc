#include "store/watch_hub_thread.h"

#include <algorithm>
#include <chrono>

#include "base/metrics.h"
#include "base/thread.h"
#include "store/change_source.h"

namespace kv::store {
namespace {

void publish(const WatchHub::Counts& counts) {
  static Gauge& streams =
      Metrics::global().gauge("etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams.");
  static Gauge& watchers = Metrics::global().gauge("etcd_debugging_mvcc_watcher_total", "Total number of watchers.");
  static Gauge& slow =
      Metrics::global().gauge("etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers.");
  static Counter& events =
      Metrics::global().counter("etcd_debugging_mvcc_events_total", "Total number of events sent by this member.");
  streams.set(static_cast<double>(counts.streams));
  watchers.set(static_cast<double>(counts.watchers));
  slow.set(static_cast<double>(counts.unsynced));
  thread_local uint64_t published = 0;
  events.add(counts.events - published);
  published = counts.events;
}

}  // namespace

WatchHubThread::WatchHubThread(const ChangeSource& source, const WatchHubOptions& options, const Clock& clock)
    : source_(source),
      clock_(clock),
      told_(source.revision()),
      hub_(source, &rights_, options),
      thread_([this] { run(); }) {}

int64_t WatchHubThread::untold_revisions() const {
  const int64_t told = told_.load(std::memory_order_acquire);  // first, as it runs after the other
  return source_.revision() - told;
}

bool WatchHubThread::post(Work work) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return false;
    work_.push_back(std::move(work));
  }
  committed();
  return true;
}

void WatchHubThread::committed() {
  if (state_.exchange(kNews, std::memory_order_acq_rel) == kAsleep) wake();
}

void WatchHubThread::wake() {
  // The lock makes sure that the hub is either asleep or has not looked yet.
  { const std::lock_guard lock(mutex_); }
  woken_.notify_one();
}

WatchHubThread::~WatchHubThread() { stop({Code::kUnavailable, "the watch hub has stopped"}); }

void WatchHubThread::stop(const Status& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopped_) reason_ = reason;
    stopped_ = true;
  }
  woken_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void WatchHubThread::sleep(int64_t until_ms) {
  // At most so long, so that a deadline of "never" needs no thought.
  constexpr int64_t kLongestMs = 3'600'000;
  const int64_t ms = std::clamp<int64_t>(until_ms - clock_.monotonic_ms(), 0, kLongestMs);
  std::unique_lock lock(mutex_);
  int expected = kIdle;
  if (!state_.compare_exchange_strong(expected, kAsleep, std::memory_order_acq_rel)) return;
  woken_.wait_for(lock, std::chrono::milliseconds(ms),
                  [this] { return stopped_ || state_.load(std::memory_order_acquire) != kAsleep; });
}

void WatchHubThread::run() {
  name_this_thread("kvd-watch");
  std::vector<Work> work;
  while (true) {
    // From here on what is committed or posted is either seen below or stops sleep().
    state_.exchange(kIdle, std::memory_order_acq_rel);
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) break;
      work.swap(work_);
    }
    for (Work& w : work) w(hub_);
    work.clear();
    const bool more = hub_.step(clock_.monotonic_ms());
    told_.store(hub_.cursor(), std::memory_order_release);
    publish(hub_.counts());
    if (!more) sleep(hub_.next_ms());
  }
  hub_.end(reason_);
  // What was posted and not done holds others' things; these go with the thread.
  {
    const std::lock_guard lock(mutex_);
    work.swap(work_);
  }
  work.clear();
}

}  // namespace kv::store
