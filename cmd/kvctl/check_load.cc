#include "kvctl/check_load.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "kvctl/exit.h"

namespace kv::kvctl {
namespace {

using Clock = std::chrono::steady_clock;

// encoding/binary's PutVarint of a number that is not negative, and zeros: how etcdctl makes its keys.
std::string random_key(std::mt19937_64& random, size_t bytes) {
  uint64_t number = (random() >> 1) << 1;
  std::string key;
  for (; number >= 0x80; number >>= 7) key += static_cast<char>(number | 0x80);
  key += static_cast<char>(number);
  key.resize(bytes, '\0');
  return key;
}

struct Sums {
  int64_t done = 0;
  double sum = 0, squares = 0, slowest = 0;
  std::map<std::string, int64_t> errors;

  void add(const Sums& other) {
    done += other.done;
    sum += other.sum;
    squares += other.squares;
    slowest = std::max(slowest, other.slowest);
    for (const auto& [text, count] : other.errors) errors[text] += count;
  }
};

}  // namespace

LoadReport run_load(const LoadPlan& plan, const std::vector<std::unique_ptr<Client>>& clients,
                    std::chrono::milliseconds call_timeout, const std::stop_token& interrupted,
                    const std::function<void(double)>& tick) {
  const auto begin = Clock::now();
  const auto end = begin + plan.duration;
  std::atomic<int64_t> next{0};
  std::mutex mutex;  // guards all, running
  std::condition_variable ended;
  Sums all;
  int running = plan.threads;

  const auto work = [&](int number) {
    std::mt19937_64 random(std::random_device{}() + static_cast<uint64_t>(number));
    Client& client = *clients[static_cast<size_t>(number) % clients.size()];
    const std::string value(plan.value_bytes, '\0');
    Sums mine;
    while (!interrupted.stop_requested()) {
      const int64_t turn = next.fetch_add(1);
      if (turn >= plan.puts) break;
      auto when = Clock::now();
      if (plan.puts_per_s > 0) {
        when = begin + std::chrono::nanoseconds(turn * 1'000'000'000 / plan.puts_per_s);
        if (when >= end) break;
        std::this_thread::sleep_until(when);
      }
      const auto before = Clock::now();
      if (before >= end || interrupted.stop_requested()) break;
      const auto put =
          client.put(plan.prefix + random_key(random, plan.key_bytes), value, {}, {.timeout = call_timeout});
      const double took = std::chrono::duration<double>(Clock::now() - before).count();
      if (put.ok()) {
        ++mine.done;
        mine.sum += took;
        mine.squares += took * took;
        mine.slowest = std::max(mine.slowest, took);
      } else {
        ++mine.errors[error_text(put.status())];
      }
    }
    const std::lock_guard lock(mutex);
    all.add(mine);
    --running;
    ended.notify_all();
  };

  std::vector<std::thread> threads;
  for (int i = 0; i < plan.threads; ++i) threads.emplace_back(work, i);
  {
    std::unique_lock lock(mutex);
    while (!ended.wait_for(lock, std::chrono::seconds(1), [&] { return running == 0; })) {
      const double of_time = std::chrono::duration<double>(Clock::now() - begin) / plan.duration;
      const double of_puts =
          plan.puts == INT64_MAX ? 0 : static_cast<double>(next.load()) / static_cast<double>(plan.puts);
      tick(std::min(1.0, std::max(of_time, of_puts)));
    }
  }
  for (std::thread& thread : threads) thread.join();

  LoadReport report;
  report.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  report.done = all.done;
  report.slowest_s = all.slowest;
  if (all.done > 0) {
    const double n = static_cast<double>(all.done);
    report.stddev_s = std::sqrt(std::max(0.0, all.squares / n - (all.sum / n) * (all.sum / n)));
  }
  report.errors = std::move(all.errors);
  return report;
}

}  // namespace kv::kvctl
