#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "base/thread.h"

namespace kv {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Inbox, Hands_over_everything_that_waits_in_order) {
  Inbox<int> inbox(10);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(inbox.push(int{i}));
  EXPECT_EQ(inbox.size(), 5U);
  std::vector<int> out = {99};
  EXPECT_TRUE(inbox.take_all(out, Clock::now()));
  EXPECT_EQ(out, (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_EQ(inbox.size(), 0U);
}

TEST(Inbox, Refuses_what_is_beyond_its_bound_and_leaves_the_item_alone) {
  Inbox<std::unique_ptr<int>> inbox(2);
  EXPECT_TRUE(inbox.push(std::make_unique<int>(1)));
  EXPECT_TRUE(inbox.push(std::make_unique<int>(2)));
  auto third = std::make_unique<int>(3);
  EXPECT_FALSE(inbox.push(std::move(third)));
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(*third, 3);

  std::vector<std::unique_ptr<int>> out;
  EXPECT_TRUE(inbox.take_all(out, Clock::now()));
  EXPECT_TRUE(inbox.push(std::move(third))) << "there is room again";
}

TEST(Inbox, Take_all_comes_back_empty_at_its_deadline) {
  Inbox<int> inbox(1);
  std::vector<int> out = {1};
  const auto started = Clock::now();
  EXPECT_TRUE(inbox.take_all(out, started + milliseconds(20)));
  EXPECT_TRUE(out.empty());
  EXPECT_GE(Clock::now() - started, milliseconds(20));
}

TEST(Inbox, A_push_wakes_the_consumer) {
  Inbox<int> inbox(1);
  std::vector<int> out;
  std::thread consumer([&] { EXPECT_TRUE(inbox.take_all(out, Clock::now() + seconds(60))); });
  const auto started = Clock::now();
  EXPECT_TRUE(inbox.push(1));
  consumer.join();
  EXPECT_EQ(out, std::vector<int>{1});
  EXPECT_LT(Clock::now() - started, seconds(30));
}

TEST(Inbox, Wake_ends_a_wait_with_nothing_and_is_not_lost_when_it_comes_first) {
  Inbox<int> inbox(1);
  std::vector<int> out;
  const auto started = Clock::now();
  inbox.wake();
  EXPECT_TRUE(inbox.take_all(out, started + seconds(60)));
  EXPECT_TRUE(out.empty());
  std::thread waker([&] { inbox.wake(); });
  EXPECT_TRUE(inbox.take_all(out, started + seconds(60)));
  waker.join();
  EXPECT_LT(Clock::now() - started, seconds(30));
}

TEST(Inbox, What_waited_at_the_close_can_still_be_taken) {
  Inbox<int> inbox(2);
  EXPECT_TRUE(inbox.push(1));
  inbox.close();
  EXPECT_FALSE(inbox.push(2));
  std::vector<int> out;
  EXPECT_TRUE(inbox.take_all(out, Clock::now() + seconds(60)));
  EXPECT_EQ(out, std::vector<int>{1});
  EXPECT_FALSE(inbox.take_all(out, Clock::now() + seconds(60))) << "closed and empty";
}

TEST(Inbox, Loses_and_doubles_nothing_among_many_producers) {
  constexpr int kProducers = 4;
  constexpr int kEach = 5000;
  Inbox<int> inbox(64);
  std::vector<std::thread> producers;
  for (int p = 0; p < kProducers; ++p) {
    producers.emplace_back([&inbox, p] {
      for (int i = 0; i < kEach; ++i) {
        while (!inbox.push(p * kEach + i)) std::this_thread::yield();
      }
    });
  }
  std::vector<int> seen(kProducers * kEach);
  std::vector<int> last(kProducers, -1);
  std::vector<int> out;
  const auto deadline = Clock::now() + seconds(60);
  for (int count = 0; count < kProducers * kEach && Clock::now() < deadline;) {
    ASSERT_TRUE(inbox.take_all(out, deadline));
    ASSERT_LE(out.size(), 64U);
    for (const int item : out) {
      ++seen[static_cast<size_t>(item)];
      int& before = last[static_cast<size_t>(item / kEach)];
      EXPECT_LT(before, item) << "one producer's items stay in order";
      before = item;
    }
    count += static_cast<int>(out.size());
  }
  for (std::thread& producer : producers) producer.join();
  for (const int times : seen) ASSERT_EQ(times, 1);
}

TEST(Thread, Takes_the_first_fifteen_bytes_of_its_name) {
  std::string found;
  std::thread thread([&found] {
    name_this_thread("a-name-that-is-too-long");
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof name);
    found = name;
  });
  thread.join();
  EXPECT_EQ(found, "a-name-that-is-");
}

}  // namespace
}  // namespace kv
