#include "client/semaphore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "client/embedded.h"

namespace kv::client {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr auto kPatience = 60s;

class ClientSemaphore : public Embedded {
 protected:
  // Waits until `waiters` wait in the queue.
  void wait_for_waiters(const std::string& name, size_t waiters) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    for (;;) {
      const auto state = Semaphore::state(*client_, name);
      if (state.ok() && state->waiters.size() == waiters) return;
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "never " << waiters << " waiters";
      std::this_thread::yield();
    }
  }
};

TEST_F(ClientSemaphore, Lets_as_many_in_as_there_are_permits_and_no_more) {
  constexpr int kSessions = 8;
  constexpr int kRounds = 6;
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kSessions; ++i) {
    threads.emplace_back([&] {
      const auto mine = session(*client_);
      for (int round = 0; round < kRounds; ++round) {
        Semaphore semaphore(*mine, key("s"), 3);
        const Status acquired = semaphore.acquire(at_most(kPatience));
        ASSERT_TRUE(acquired.ok()) << acquired.to_string();
        const int now = ++inside;
        EXPECT_LE(now, 3);
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        // A call's time inside, so that others come while we are.
        EXPECT_TRUE(client_->commit(Txn().when({semaphore.is_holder()}).then({put_op(key("x"), "")}))->succeeded);
        --inside;
        EXPECT_TRUE(semaphore.release().ok());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_GT(most, 1) << "never two inside at once: it is a mutex";
}

TEST_F(ClientSemaphore, Serves_waiters_in_the_order_in_which_they_came) {
  const auto holding = session(*client_);
  Semaphore held(*holding, key("s"), 1, "first");
  ASSERT_TRUE(held.acquire().ok());
  std::vector<std::thread> threads;
  std::atomic<int> next{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const auto mine = session(*client_);
      Semaphore semaphore(*mine, key("s"), 1, "waiter " + std::to_string(i));
      const Status acquired = semaphore.acquire(at_most(kPatience));
      ASSERT_TRUE(acquired.ok()) << acquired.to_string();
      EXPECT_EQ(next++, i);
      EXPECT_TRUE(semaphore.release().ok());
    });
    wait_for_waiters(key("s"), static_cast<size_t>(i) + 1);
  }
  const auto state = Semaphore::state(*client_, key("s"));
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->permits, 1);
  ASSERT_EQ(state->holders.size(), 1u);
  EXPECT_EQ(state->holders[0].identity, "first");
  EXPECT_EQ(state->holders[0].lease, holding->lease());
  EXPECT_EQ(state->holders[0].revision, held.revision());
  ASSERT_EQ(state->waiters.size(), 4u);
  EXPECT_EQ(state->waiters[2].identity, "waiter 2");
  ASSERT_TRUE(held.release().ok());
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(next, 4);
}

TEST_F(ClientSemaphore, Another_number_of_permits_is_refused_in_words) {
  const auto one = session(*client_);
  const auto two = session(*client_);
  Semaphore first(*one, key("s"), 2);
  ASSERT_TRUE(first.acquire().ok());
  Semaphore second(*two, key("s"), 3);
  EXPECT_EQ(second.acquire(), Status(Code::kFailedPrecondition,
                                     "semaphore: " + key("s") + " has 2 permits in the cluster, not 3"));
  EXPECT_EQ(second.try_acquire().code(), Code::kFailedPrecondition);
  EXPECT_EQ(second.revision(), 0);
  EXPECT_EQ(first.holders()->size(), 1u) << "the refused one left something behind";
  ASSERT_TRUE(Semaphore::set_permits(*client_, key("s"), 3).ok());
  EXPECT_TRUE(second.acquire().ok());
  EXPECT_EQ(first.holders()->size(), 2u);
  for (const int64_t wrong : {int64_t{0}, int64_t{-1}, Semaphore::kPermitsMax + 1}) {
    Semaphore none(*two, key("t"), wrong);
    EXPECT_EQ(none.acquire().code(), Code::kInvalidArgument) << wrong;
    EXPECT_EQ(Semaphore::set_permits(*client_, key("t"), wrong).code(), Code::kInvalidArgument) << wrong;
  }
}

TEST_F(ClientSemaphore, Change_of_the_number_ends_a_wait_that_was_for_another) {
  const auto one = session(*client_);
  const auto two = session(*client_);
  Semaphore held(*one, key("s"), 1);
  ASSERT_TRUE(held.acquire().ok());
  auto waits = std::async(std::launch::async, [&] {
    Semaphore semaphore(*two, key("s"), 1);
    return semaphore.acquire(at_most(kPatience));
  });
  wait_for_waiters(key("s"), 1);
  ASSERT_TRUE(Semaphore::set_permits(*client_, key("s"), 2).ok());
  EXPECT_EQ(waits.get().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(Semaphore::state(*client_, key("s"))->waiters.empty()) << "its place is still there";
}

TEST_F(ClientSemaphore, Try_acquire_takes_what_is_free_and_waits_for_nobody) {
  const auto one = session(*client_);
  const auto two = session(*client_);
  const auto three = session(*client_);
  Semaphore first(*one, key("s"), 2);
  Semaphore second(*two, key("s"), 2);
  Semaphore third(*three, key("s"), 2);
  EXPECT_TRUE(first.try_acquire().ok());
  EXPECT_TRUE(second.try_acquire().ok());
  EXPECT_EQ(third.try_acquire(), Status(Code::kAborted, "semaphore: all 2 permits are taken"));
  EXPECT_TRUE(first.release().ok());
  EXPECT_TRUE(third.try_acquire().ok());
  EXPECT_TRUE(third.acquire().ok()) << "who has a permit has it";
  EXPECT_EQ(first.release().code(), Code::kFailedPrecondition);
}

TEST_F(ClientSemaphore, Permit_of_a_session_that_ends_goes_to_the_next) {
  auto dies = session(*client_);
  const auto lives = session(*client_);
  auto held = std::make_unique<Semaphore>(*dies, key("s"), 1);
  ASSERT_TRUE(held->acquire().ok());
  auto waits = std::async(std::launch::async, [&] {
    Semaphore semaphore(*lives, key("s"), 1);
    return semaphore.acquire(at_most(kPatience));
  });
  wait_for_waiters(key("s"), 1);
  ASSERT_TRUE(dies->close().ok());
  EXPECT_TRUE(waits.get().ok());
  const auto done = client_->commit(Txn().when({held->is_holder()}).then({put_op(key("x"), "")}));
  EXPECT_FALSE(done->succeeded) << "a lost permit guards nothing";
  EXPECT_EQ(held->release(), Status(Code::kAborted, "semaphore: session is expired"));
}

TEST_F(ClientSemaphore, Wait_that_is_over_leaves_the_queue) {
  const auto one = session(*client_);
  const auto two = session(*client_);
  Semaphore held(*one, key("s"), 1);
  ASSERT_TRUE(held.acquire().ok());
  Semaphore late(*two, key("s"), 1);
  EXPECT_EQ(late.acquire(at_most(50ms)).code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(Semaphore::state(*client_, key("s"))->waiters.empty());
  EXPECT_EQ(Semaphore::state(*client_, key("none")).status().code(), Code::kNotFound);
  ASSERT_TRUE(client_->put(key("t/permits"), "many").ok());
  EXPECT_THAT(Semaphore::state(*client_, key("t")).status().text(), HasSubstr("many"));
}

}  // namespace
}  // namespace kv::client
