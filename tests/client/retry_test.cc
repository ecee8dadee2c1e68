#include "client/retry.h"

#include <gtest/gtest.h>

namespace kv::client {
namespace {

const Status kNoLeader(Code::kUnavailable, "etcdserver: no leader");
const Status kNotSent(Code::kUnavailable, "failed to connect to all addresses; last error: refused");
const Status kLearner(Code::kFailedPrecondition, "etcdserver: rpc not supported for learner");

TEST(Retry, Reads_are_repeated_while_unavailable) {
  EXPECT_TRUE(may_retry(kNoLeader, Repeat::kSafe, 1));
  EXPECT_TRUE(may_retry(kNotSent, Repeat::kSafe, 1));
}

TEST(Retry, Reads_that_the_server_cancelled_are_repeated_and_writes_are_not) {
  EXPECT_TRUE(may_retry(Status(Code::kCanceled, "CANCELLED"), Repeat::kSafe, 1));
  EXPECT_FALSE(may_retry(Status(Code::kCanceled, "CANCELLED"), Repeat::kUnsafe, 3));
}

TEST(Retry, Writes_are_repeated_only_when_they_were_never_sent) {
  EXPECT_FALSE(may_retry(kNoLeader, Repeat::kUnsafe, 3));
  EXPECT_FALSE(may_retry(Status(Code::kUnavailable, "Socket closed"), Repeat::kUnsafe, 3));
  EXPECT_TRUE(may_retry(kNotSent, Repeat::kUnsafe, 3));
}

TEST(Retry, A_learners_refusal_is_worth_another_endpoint_if_there_is_one) {
  EXPECT_TRUE(may_retry(kLearner, Repeat::kUnsafe, 2));
  EXPECT_FALSE(may_retry(kLearner, Repeat::kUnsafe, 1));
}

TEST(Retry, Other_errors_are_final) {
  for (const Code code : {Code::kInvalidArgument, Code::kDeadlineExceeded, Code::kOutOfRange, Code::kInternal,
                          Code::kResourceExhausted, Code::kPermissionDenied}) {
    EXPECT_FALSE(may_retry(Status(code, "no"), Repeat::kSafe, 3)) << code_name(code);
  }
}

TEST(Retry, Pauses_come_after_each_round_through_a_quorum) {
  Random random(7);
  EXPECT_EQ(retry_pause(0, 3, random).count(), 0);
  EXPECT_EQ(retry_pause(1, 3, random).count(), 0);
  for (int i = 0; i < 100; ++i) {
    const auto pause = retry_pause(2, 3, random).count();
    EXPECT_GE(pause, 22'500);
    EXPECT_LE(pause, 27'500);
  }
  EXPECT_GT(retry_pause(1, 1, random).count(), 0);
}

TEST(Retry, Stream_tries_each_endpoint_before_it_pauses_and_then_ever_longer) {
  Random random(7);
  EXPECT_EQ(stream_pause(1, 3, random).count(), 0);
  EXPECT_EQ(stream_pause(2, 3, random).count(), 0);
  for (const auto& [failed, pause_us] :
       {std::pair(3, 25'000), {6, 50'000}, {9, 100'000}, {15, 400'000}, {900, 400'000}}) {
    for (int i = 0; i < 20; ++i) {
      const auto pause = stream_pause(static_cast<size_t>(failed), 3, random).count();
      EXPECT_GE(pause, pause_us * 9 / 10) << failed;
      EXPECT_LE(pause, pause_us * 11 / 10) << failed;
    }
  }
}

}  // namespace
}  // namespace kv::client
