#include "server/pending_calls.h"

#include <gtest/gtest.h>

namespace kv::server {
namespace {

struct Outcome {
  int calls = 0;
  Status status;
};

Completion record(Outcome& outcome) {
  return [&outcome](Status status, google::protobuf::Message*) {
    ++outcome.calls;
    outcome.status = std::move(status);
  };
}

TEST(PendingCalls, Taken_calls_are_gone) {
  PendingCalls calls(10, 1000, 0);
  Outcome outcome;
  Completion completion = record(outcome);
  const auto number = calls.add(1, 100, completion);
  ASSERT_TRUE(number.ok());
  auto taken = calls.take({*number, *number + 1, *number});
  ASSERT_TRUE(taken[0]);
  EXPECT_FALSE(taken[1]);
  EXPECT_FALSE(taken[2]);
  taken[0](Status(), nullptr);
  calls.expire(1000);
  EXPECT_EQ(outcome.calls, 1);
  EXPECT_EQ(calls.size(), 0u);
}

TEST(PendingCalls, Expired_calls_end_with_a_timeout_once) {
  PendingCalls calls(10, 1000, 0);
  Outcome early, late;
  Completion first = record(early), second = record(late);
  const auto number = calls.add(1, 100, first);
  ASSERT_TRUE(calls.add(1, 200, second).ok());
  calls.expire(99);
  EXPECT_EQ(early.calls, 0);
  calls.expire(100);
  EXPECT_EQ(early.calls, 1);
  EXPECT_EQ(early.status, Status(Code::kUnavailable, "etcdserver: request timed out"));
  EXPECT_EQ(late.calls, 0);
  EXPECT_FALSE(calls.take({*number})[0]) << "a command applied after its call's time must find nobody";
}

TEST(PendingCalls, A_timeout_says_in_etcds_words_whether_the_leader_has_changed_meanwhile) {
  PendingCalls calls(10, 1000, 41);
  Outcome before, after;
  Completion first = record(before), second = record(after);
  const auto number = calls.add(1, 7000, first);
  ASSERT_TRUE(number.ok());
  calls.leader_lost();
  calls.leader_found();
  ASSERT_TRUE(calls.add(1, 7001, second).ok());
  calls.leader_lost();  // and nobody follows
  calls.expire(6999);
  EXPECT_EQ(before.calls, 0) << "its command is proposed again to the next leader";
  EXPECT_TRUE(calls.waits(*number));
  calls.expire(7001);
  EXPECT_FALSE(calls.waits(*number));
  EXPECT_EQ(before.calls, 1);
  EXPECT_EQ(before.status,
            Status(Code::kUnavailable, "etcdserver: request timed out, possibly due to previous leader failure"));
  EXPECT_EQ(after.status, Status(Code::kUnavailable, "etcdserver: request timed out"));
  EXPECT_EQ(calls.size(), 0u);
}

TEST(PendingCalls, What_was_on_its_way_when_the_stream_to_the_leader_broke_ends_soon) {
  PendingCalls calls(10, 1000, 41);
  Outcome before, applied, after;
  Completion first = record(before), second = record(applied), third = record(after);
  ASSERT_TRUE(calls.add(1, 7000, first).ok());
  const auto number = calls.add(1, 7000, second);
  calls.leader_lost();
  ASSERT_TRUE(calls.add(1, 7001, third).ok()) << "it was not sent yet";
  calls.leader_returned(2000);
  calls.expire(1999);
  EXPECT_EQ(before.calls, 0);
  ASSERT_TRUE(calls.take({*number})[0]) << "it had reached the log";
  calls.expire(2000);
  EXPECT_EQ(before.status,
            Status(Code::kUnavailable, "etcdserver: request timed out, possibly due to connection lost"));
  // It makes none wait longer.
  calls.leader_lost();
  calls.leader_returned(9000);
  calls.expire(7001);
  EXPECT_EQ(after.calls, 1);
  EXPECT_EQ(calls.size(), 0u);
}

TEST(PendingCalls, Refuses_beyond_either_limit_and_leaves_the_completion_alone) {
  PendingCalls by_count(1, 1000, 0);
  Outcome outcome;
  Completion first = record(outcome), second = record(outcome);
  ASSERT_TRUE(by_count.add(1, 100, first).ok());
  EXPECT_EQ(by_count.add(1, 100, second).status(), Status(Code::kResourceExhausted, "etcdserver: too many requests"));
  ASSERT_TRUE(second);

  PendingCalls by_bytes(10, 100, 0);
  Completion big = record(outcome);
  const auto number = by_bytes.add(60, 100, big);
  ASSERT_TRUE(number.ok());
  EXPECT_FALSE(by_bytes.add(60, 100, second).ok());
  by_bytes.take({*number});
  EXPECT_TRUE(by_bytes.add(60, 100, second).ok()) << "bytes of ended calls must be given back";
}

TEST(PendingCalls, Close_ends_all_and_refuses_more) {
  PendingCalls calls(10, 1000, 0);
  Outcome outcome;
  Completion first = record(outcome), second = record(outcome);
  ASSERT_TRUE(calls.add(1, 100, first).ok());
  calls.close({Code::kUnavailable, "etcdserver: server stopped"});
  EXPECT_EQ(outcome.calls, 1);
  EXPECT_FALSE(calls.add(1, 100, second).ok());
}

TEST(PendingCalls, Numbers_start_where_told) {
  PendingCalls calls(10, 1000, 41);
  Outcome outcome;
  Completion completion = record(outcome);
  EXPECT_EQ(*calls.add(1, 100, completion), 42u);
}

}  // namespace
}  // namespace kv::server
