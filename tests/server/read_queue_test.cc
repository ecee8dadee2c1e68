#include "server/read_queue.h"

#include <gtest/gtest.h>

namespace kv::server {
namespace {

using raft::Index;

class ReadQueueTest : public testing::Test {
 protected:
  std::vector<ReadQueue::Ready> reads(int count) {
    std::vector<ReadQueue::Ready> made;
    for (int i = 0; i < count; ++i) made.emplace_back([this](Status status) { ends_.push_back(std::move(status)); });
    return made;
  }

  ReadQueue queue_;
  std::vector<Status> ends_;
};

TEST_F(ReadQueueTest, Reads_wait_until_the_state_reaches_their_index) {
  const uint64_t id = queue_.add(reads(2), 100);
  queue_.serve(Index(50));
  EXPECT_TRUE(ends_.empty()) << "not confirmed yet";
  queue_.answered(id, Index(7));
  queue_.serve(Index(6));
  EXPECT_TRUE(ends_.empty());
  queue_.serve(Index(7));
  ASSERT_EQ(ends_.size(), 2u);
  EXPECT_TRUE(ends_[0].ok());
  EXPECT_EQ(queue_.size(), 0u);
}

TEST_F(ReadQueueTest, Refused_reads_are_asked_about_again_under_another_id) {
  const uint64_t id = queue_.add(reads(1), 100);
  queue_.answered(id, Index(0));
  const auto again = queue_.ask_again();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_NE(again[0], id);
  EXPECT_TRUE(queue_.ask_again().empty()) << "once only";
  queue_.answered(id, Index(1));
  queue_.serve(Index(1));
  EXPECT_TRUE(ends_.empty()) << "a late answer to the first question must not count";
  queue_.answered(again[0], Index(3));
  queue_.serve(Index(3));
  EXPECT_EQ(ends_.size(), 1u);
}

TEST_F(ReadQueueTest, Time_ends_reads_at_every_step) {
  queue_.add(reads(1), 100);
  queue_.answered(queue_.add(reads(1), 100), Index(9));
  queue_.answered(queue_.add(reads(1), 100), Index(0));
  queue_.add(reads(1), 200);
  queue_.expire(99);
  EXPECT_TRUE(ends_.empty());
  queue_.expire(100);
  ASSERT_EQ(ends_.size(), 3u);
  for (const Status& status : ends_) EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_EQ(queue_.size(), 1u);
}

TEST_F(ReadQueueTest, Ending_ends_all_once) {
  queue_.add(reads(1), 100);
  queue_.answered(queue_.add(reads(1), 100), Index(9));
  queue_.answered(queue_.add(reads(1), 100), Index(0));
  queue_.end({Code::kUnavailable, "etcdserver: server stopped"});
  EXPECT_EQ(ends_.size(), 3u);
  queue_.end({Code::kUnavailable, "etcdserver: server stopped"});
  queue_.expire(1000);
  EXPECT_EQ(ends_.size(), 3u);
  EXPECT_EQ(queue_.size(), 0u);
}

}  // namespace
}  // namespace kv::server
