#include "kvctl/load.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "kvctl/exit.h"

namespace kv::kvctl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxErrorTexts = 20;

void add_error(std::map<std::string, int64_t>& errors, const std::string& text, int64_t count) {
  errors[errors.size() < kMaxErrorTexts || errors.contains(text) ? text : "other errors"] += count;
}

}  // namespace

int64_t LoadReport::failed() const {
  return std::accumulate(errors.begin(), errors.end(), int64_t{0},
                         [](int64_t sum, const auto& error) { return sum + error.second; });
}

LoadReport run_load(const LoadPlan& plan, const LoadCall& call, const std::stop_token& interrupted,
                    const std::function<void(int64_t, double)>& tick) {
  const auto begin = Clock::now();
  const auto end = begin + plan.duration;
  std::atomic<int64_t> next{0}, answered{0};
  std::mutex mutex;  // guards report, running
  std::condition_variable ended;
  LoadReport report;
  int running = plan.threads;

  const auto work = [&](int number) {
    std::mutex unshared;
    std::condition_variable_any sleep;
    LoadReport mine;
    while (!interrupted.stop_requested()) {
      const int64_t turn = next.fetch_add(1);
      if (turn >= plan.calls) break;
      auto before = Clock::now();
      if (plan.calls_per_s > 0) {
        const double due_s = static_cast<double>(turn) / static_cast<double>(plan.calls_per_s);
        const auto due = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(due_s));
        if (due >= end) break;
        std::unique_lock lock(unshared);
        sleep.wait_until(lock, interrupted, due, [] { return false; });
        before = plan.from_due ? due : Clock::now();
      }
      if (Clock::now() >= end || interrupted.stop_requested()) break;
      const Status status = call(number, turn);
      if (status.ok()) {
        mine.latencies.add(Clock::now() - before);
      } else {
        add_error(mine.errors, error_text(status), 1);
      }
      answered.fetch_add(1, std::memory_order_relaxed);
    }
    const std::lock_guard lock(mutex);
    report.latencies.add(mine.latencies);
    for (const auto& [text, count] : mine.errors) add_error(report.errors, text, count);
    --running;
    ended.notify_all();
  };

  std::vector<std::thread> threads;
  for (int i = 0; i < plan.threads; ++i) threads.emplace_back(work, i);
  {
    std::unique_lock lock(mutex);
    while (!ended.wait_for(lock, std::chrono::milliseconds(100), [&] { return running == 0; })) {
      lock.unlock();
      const double of_time = std::chrono::duration<double>(Clock::now() - begin) / plan.duration;
      const int64_t done = answered.load();
      const double of_calls = plan.calls == INT64_MAX ? 0 : static_cast<double>(done) / static_cast<double>(plan.calls);
      tick(done, std::min(1.0, std::max(of_time, of_calls)));
      lock.lock();
    }
  }
  for (std::thread& thread : threads) thread.join();
  report.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return report;
}

}  // namespace kv::kvctl
