#include "server/defragmenter.h"

#include <gtest/gtest.h>

#include <future>

#include "fixture.h"
#include "server/errors.h"

namespace kv::server {
namespace {

// Work that runs until the test says how it ends.
class DefragmenterTest : public testing::Test {
 protected:
  DefragmenterTest()
      : defragmenter_([this](std::atomic<bool>& cancel) -> Status {
          ++runs_;
          while (!end_ && !cancel) std::this_thread::yield();
          end_ = false;
          return cancel ? Status(Code::kCanceled, "stopped") : Status();
        }) {}

  std::future<Status> run() {
    auto promise = std::make_shared<std::promise<Status>>();
    auto future = promise->get_future();
    defragmenter_.run([promise](Status status) { promise->set_value(std::move(status)); });
    return future;
  }
  static Status wait(std::future<Status>& future) {
    if (future.wait_for(std::chrono::seconds(10)) != std::future_status::ready)
      return {Code::kDeadlineExceeded, "the test waited for ten seconds"};
    return future.get();
  }

  std::atomic<int> runs_{0};
  std::atomic<bool> end_{false};
  Defragmenter defragmenter_;
};

TEST_F(DefragmenterTest, Who_asks_while_one_runs_is_answered_with_it) {
  auto first = run();
  ASSERT_TRUE(eventually([&] { return runs_ == 1; }));
  auto second = run();
  end_ = true;
  EXPECT_TRUE(wait(first).ok());
  EXPECT_TRUE(wait(second).ok());
  EXPECT_EQ(runs_, 1);
  auto third = run();
  ASSERT_TRUE(eventually([&] { return runs_ == 2; }));
  end_ = true;
  EXPECT_TRUE(wait(third).ok());
}

TEST_F(DefragmenterTest, Stops_when_the_state_is_replaced) {
  auto first = run();
  ASSERT_TRUE(eventually([&] { return runs_ == 1; }));
  defragmenter_.state_replaced();
  EXPECT_EQ(wait(first), errors::state_replaced());
  defragmenter_.state_replaced();  // of no effect on what comes later
  auto after = run();
  ASSERT_TRUE(eventually([&] { return runs_ == 2; }));
  end_ = true;
  EXPECT_TRUE(wait(after).ok());
}

TEST_F(DefragmenterTest, Ends_with_the_server) {
  auto first = run();
  ASSERT_TRUE(eventually([&] { return runs_ == 1; }));
  defragmenter_.stop();
  EXPECT_EQ(wait(first), errors::stopped());
  auto late = run();
  EXPECT_EQ(wait(late), errors::stopped());
}

TEST_F(DefragmenterTest, Lets_so_many_wait_and_no_more) {
  auto first = run();
  ASSERT_TRUE(eventually([&] { return runs_ == 1; }));
  std::vector<std::future<Status>> others;
  for (size_t i = 1; i < Defragmenter::kWaitersMax; ++i) others.push_back(run());
  auto refused = run();
  EXPECT_EQ(wait(refused), errors::too_many_requests());
  end_ = true;
  EXPECT_TRUE(wait(first).ok());
  for (auto& other : others) EXPECT_TRUE(wait(other).ok());
}

}  // namespace
}  // namespace kv::server
