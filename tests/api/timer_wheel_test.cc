#include "api/net/timer_wheel.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/random.h"

namespace kv::api {
namespace {

struct TestTimer final : Timer {
  explicit TestTimer(std::function<void()> f) : then(std::move(f)) {}
  void on_timer() override { then(); }
  std::function<void()> then;
};

TEST(TimerWheel, Fires_each_timer_once_and_never_early) {
  TimerWheel wheel;
  int fired = 0;
  TestTimer timer([&] { ++fired; });
  wheel.set(timer, 1001);
  wheel.fire(1000);
  EXPECT_EQ(fired, 0);
  wheel.fire(1004);  // within a tick
  EXPECT_EQ(fired, 1);
  wheel.fire(9999);
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(wheel.size(), 0U);
  EXPECT_EQ(wheel.next_ms(), TimerWheel::kNever);
}

TEST(TimerWheel, Does_not_fire_what_was_cancelled_or_destroyed) {
  TimerWheel wheel;
  int fired = 0;
  TestTimer cancelled([&] { ++fired; });
  wheel.set(cancelled, 50);
  {
    TestTimer destroyed([&] { ++fired; });
    wheel.set(destroyed, 50);
    cancelled.cancel();
    EXPECT_EQ(wheel.size(), 1U);
  }
  EXPECT_EQ(wheel.size(), 0U);
  wheel.fire(1000);
  EXPECT_EQ(fired, 0);
}

TEST(TimerWheel, Setting_again_replaces_the_time) {
  TimerWheel wheel;
  int fired = 0;
  TestTimer timer([&] { ++fired; });
  wheel.set(timer, 50);
  wheel.set(timer, 500);
  wheel.fire(400);
  EXPECT_EQ(fired, 0);
  wheel.fire(504);
  EXPECT_EQ(fired, 1);
}

TEST(TimerWheel, Timers_beyond_one_turn_wait_for_theirs) {
  TimerWheel wheel;
  std::vector<int> order;
  TestTimer near([&] { order.push_back(1); });
  TestTimer far([&] { order.push_back(2); });
  wheel.set(far, 100 + 4096 * 10);  // the same slot as 100, ten turns later
  wheel.set(near, 100);
  for (int64_t now = 0; now < 100 + 4096 * 10; now += 1000) wheel.fire(now);
  EXPECT_EQ(order, std::vector<int>({1}));
  wheel.fire(104 + 4096 * 10);
  EXPECT_EQ(order, std::vector<int>({1, 2}));
}

TEST(TimerWheel, A_time_that_has_passed_fires_at_the_next_turn_also_after_a_long_pause) {
  TimerWheel wheel;
  int fired = 0;
  TestTimer timer([&] { ++fired; });
  wheel.set(timer, 10);
  wheel.fire(1'000'000);
  EXPECT_EQ(fired, 1);
  wheel.set(timer, 500'000);
  EXPECT_LE(wheel.next_ms(), 1'000'008);
  wheel.fire(1'000'008);
  EXPECT_EQ(fired, 2);
}

TEST(TimerWheel, A_callback_may_cancel_set_and_destroy_timers_of_its_own_slot) {
  TimerWheel wheel;
  std::map<int, std::unique_ptr<TestTimer>> timers;
  int fired = 0;
  for (int i = 0; i < 10; ++i) {
    timers[i] = std::make_unique<TestTimer>([&, i] {
      ++fired;
      timers.erase((i + 1) % 10);
      if (const auto other = timers.find((i + 3) % 10); other != timers.end()) other->second->cancel();
      if (const auto other = timers.find((i + 5) % 10); other != timers.end()) wheel.set(*other->second, 100);
      timers.erase(i);
    });
    wheel.set(*timers[i], 100);
  }
  for (int64_t now = 96; now < 200; now += 4) wheel.fire(now);
  EXPECT_GE(fired, 1);
  EXPECT_LE(fired, 10);
}

TEST(TimerWheel, Agrees_with_a_sorted_map_on_random_use) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    TimerWheel wheel;
    int64_t now = static_cast<int64_t>(random.below(1'000'000));
    constexpr int kTimers = 50;
    std::vector<int64_t> due(kTimers, -1);  // the model: -1 is not set
    std::vector<std::unique_ptr<TestTimer>> timers;
    for (int i = 0; i < kTimers; ++i) {
      timers.push_back(std::make_unique<TestTimer>([&, i] {
        EXPECT_GE(now, due[i]) << "early, seed " << seed;
        EXPECT_NE(due[i], -1) << "twice, seed " << seed;
        due[i] = -1;
      }));
    }
    wheel.fire(now);
    for (int step = 0; step < 2000; ++step) {
      const auto i = random.below(kTimers);
      switch (random.below(4)) {
        case 0:
          timers[i]->cancel();
          due[i] = -1;
          break;
        case 1:
          due[i] = now + static_cast<int64_t>(random.below(20'000));
          wheel.set(*timers[i], due[i]);
          break;
        default:
          now += static_cast<int64_t>(random.below(random.one_in(50) ? 30'000 : 40));
          wheel.fire(now);
          for (const int64_t d : due) {
            ASSERT_TRUE(d == -1 || d > now - 4) << "late by " << now - d << ", seed " << seed;
            if (d != -1) {
              ASSERT_LE(wheel.next_ms(), std::max(d, now) + 4) << "seed " << seed;
            }
          }
      }
    }
  }
}

}  // namespace
}  // namespace kv::api
