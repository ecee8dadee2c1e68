#include "server/locks.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "recipes_fixture.h"

namespace kv::server {
namespace {

using v3lockpb::LockRequest;
using v3lockpb::LockResponse;
using v3lockpb::UnlockRequest;

class LocksTest : public RecipeTest {
 protected:
  Begun<LockResponse> lock(const std::string& name, int64_t lease) {
    LockRequest request;
    request.set_name(name);
    request.set_lease(lease);
    return begin(locks(), &Locks::lock, request);
  }
  Status unlock(const std::string& key) {
    UnlockRequest request;
    request.set_key(key);
    return begin(locks(), &Locks::unlock, request).get().status;
  }
  // A contender that waits has its key in the store.
  bool contend(const std::string& name, size_t contenders) {
    return eventually([&] { return count(name + "/") == contenders; });
  }
  Locks& locks() {
    if (!locks_) locks_.emplace(*member_);
    return *locks_;
  }

  std::optional<Locks> locks_;
};

TEST_F(LocksTest, A_free_lock_is_had_at_once_and_by_its_holder_again) {
  const int64_t lease = grant();
  const auto first = lock("l", lease).get();
  ASSERT_TRUE(first.status.ok()) << first.status.to_string();
  char key[40];
  std::snprintf(key, sizeof key, "l/%lx", static_cast<unsigned long>(lease));
  EXPECT_EQ(first.response.key(), key) << "the layout that other contenders know";
  EXPECT_EQ(first.response.header().revision(), 2);
  const auto again = lock("l", lease).get();
  ASSERT_TRUE(again.status.ok());
  EXPECT_EQ(again.response.key(), key);
  EXPECT_EQ(again.response.header().revision(), 2) << "nothing was written";
}

TEST_F(LocksTest, Contenders_have_it_in_the_order_in_which_they_came) {
  std::vector<Begun<LockResponse>> contenders;
  for (size_t i = 0; i < 4; ++i) {
    contenders.push_back(lock("l", grant()));
    ASSERT_TRUE(contend("l", i + 1));
  }
  for (size_t i = 0; i < contenders.size(); ++i) {
    const auto held = contenders[i].get();
    ASSERT_TRUE(held.status.ok()) << held.status.to_string();
    for (size_t j = i + 1; j < contenders.size(); ++j) EXPECT_FALSE(contenders[j].is_ready()) << i << " " << j;
    ASSERT_TRUE(unlock(held.response.key()).ok());
  }
}

TEST_F(LocksTest, The_next_has_it_when_the_holders_lease_ends) {
  const int64_t lease = grant();
  ASSERT_TRUE(lock("l", lease).get().status.ok());
  auto next = lock("l", grant());
  ASSERT_TRUE(contend("l", 2));
  EXPECT_FALSE(next.is_ready());
  revoke(lease);
  EXPECT_TRUE(next.get().status.ok());
}

TEST_F(LocksTest, A_contender_that_gives_up_leaves_nothing_behind) {
  const auto holder = lock("l", grant()).get();
  auto gives_up = lock("l", grant());
  ASSERT_TRUE(contend("l", 2));
  auto patient = lock("l", grant());
  ASSERT_TRUE(contend("l", 3));
  gives_up.call->cancel();
  EXPECT_EQ(gives_up.get().status.code(), Code::kCanceled);
  EXPECT_TRUE(contend("l", 2));
  EXPECT_FALSE(patient.is_ready());
  ASSERT_TRUE(unlock(holder.response.key()).ok());
  EXPECT_TRUE(patient.get().status.ok());
}

TEST_F(LocksTest, A_contender_whose_lease_ends_is_told_at_once) {
  const auto holder = lock("l", grant()).get();
  const int64_t lease = grant();
  auto waits = lock("l", lease);
  ASSERT_TRUE(contend("l", 2));
  revoke(lease);
  const auto ended = waits.get();
  EXPECT_EQ(ended.status.code(), Code::kUnknown);
  EXPECT_EQ(ended.status.text(), "mutex: session is expired");
}

TEST_F(LocksTest, Without_a_lease_one_of_a_minute_is_granted) {
  ASSERT_TRUE(lock("l", 0).get().status.ok());
  etcdserverpb::RangeRequest request;
  request.set_key("l/");
  request.set_range_end("l0");
  const auto found = begin(*member_, &Member::range, request).get();
  ASSERT_EQ(found.response.kvs_size(), 1);
  etcdserverpb::LeaseTimeToLiveRequest ask;
  ask.set_id(found.response.kvs(0).lease());
  EXPECT_EQ(begin(*member_, &Member::lease_time_to_live, ask).get().response.grantedttl(), 60);
}

TEST_F(LocksTest, An_unknown_lease_is_refused) {
  EXPECT_EQ(lock("l", 12345).get().status.text(), "etcdserver: requested lease not found");
  EXPECT_EQ(count("l/"), 0u);
}

TEST_F(LocksTest, One_at_a_time_has_it) {
  constexpr int kThreads = 8;
  constexpr int kTurns = 20;
  std::atomic<int> inside{0};
  std::atomic<int> had{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, lease = grant()] {
      for (int i = 0; i < kTurns; ++i) {
        const auto held = lock("l", lease).get();
        ASSERT_TRUE(held.status.ok()) << held.status.to_string();
        EXPECT_EQ(inside.fetch_add(1), 0);
        had.fetch_add(1);
        inside.fetch_sub(1);
        ASSERT_TRUE(unlock(held.response.key()).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(had.load(), kThreads * kTurns);
}

TEST_F(LocksTest, A_member_that_stops_ends_the_wait) {
  const auto holder = lock("l", grant()).get();
  auto waits = lock("l", grant());
  ASSERT_TRUE(contend("l", 2));
  member_->stop(0);
  EXPECT_EQ(waits.get().status.code(), Code::kUnavailable);
}

}  // namespace
}  // namespace kv::server
