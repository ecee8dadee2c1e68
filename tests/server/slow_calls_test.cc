// What took long is told with its shape, and never with a value.
#include "server/slow_calls.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "fixture.h"

namespace kv::server {
namespace {

// Both log lines and tests' own words go to standard error.
class SlowCallsTest : public testing::Test {
 protected:
  static int64_t long_ago(const SlowCalls& calls) { return calls.now_ms() - 1000; }

  static CommittedEntry entry(const std::vector<kvdpb::Command>& commands) {
    kvdpb::Batch batch;
    for (const auto& command : commands) *batch.add_commands() = command;
    CommittedEntry committed;
    committed.entry = {raft::Index(1), raft::Term(1), raft::EntryType::kCommand,
                       std::make_shared<const std::string>(batch.SerializeAsString())};
    return committed;
  }

  template <typename Work>
  static std::string log_of(Work work) {
    testing::internal::CaptureStderr();
    work();
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(SlowCallsTest, A_slow_read_is_told_with_its_shape) {
  SlowCalls calls(100);
  etcdserverpb::RangeRequest request;
  request.set_key("/a");
  request.set_range_end(std::string("/b\0", 3));
  request.set_limit(7);
  etcdserverpb::RangeResponse response;
  response.add_kvs()->set_value("secret");
  const std::string log = log_of([&] { calls.read(long_ago(calls), request, response); });
  EXPECT_NE(log.find("apply request took too long"), std::string::npos) << log;
  EXPECT_NE(log.find(R"(key:\"/a\" range_end:\"/b\\000\" limit:7)"), std::string::npos) << log;
  EXPECT_NE(log.find("response_count=1"), std::string::npos) << log;
  EXPECT_EQ(log.find("secret"), std::string::npos) << "values are nobody's business";
}

TEST_F(SlowCallsTest, A_slow_batch_names_its_largest_command_without_its_value) {
  SlowCalls calls(100);
  kvdpb::Command small, large;
  small.mutable_put()->set_key("small");
  large.mutable_txn()->add_compare()->set_key("c");
  auto* put = large.mutable_txn()->add_success()->mutable_request_put();
  put->set_key("large");
  put->set_value("secret and long");
  const auto e = entry({small, large});
  const std::string log = log_of([&] { calls.applied(long_ago(calls), &e, &e + 1); });
  EXPECT_NE(log.find("commands=2"), std::string::npos) << log;
  EXPECT_NE(log.find(R"(request_put:<key:\"large\" value_size:15 >)"), std::string::npos) << log;
  EXPECT_EQ(log.find("secret"), std::string::npos);
}

TEST_F(SlowCallsTest, What_was_quick_or_is_not_asked_for_is_not_told) {
  SlowCalls calls(100), silent(0);
  const std::string log = log_of([&] {
    calls.read(calls.now_ms(), etcdserverpb::RangeRequest(), {});
    silent.read(long_ago(calls), etcdserverpb::RangeRequest(), {});
  });
  EXPECT_EQ(log, "");
}

TEST_F(SlowCallsTest, A_flood_is_one_line_a_second_that_says_how_many_it_stands_for) {
  SlowCalls calls(100);
  const auto slow = [&] { calls.read(long_ago(calls), etcdserverpb::RangeRequest(), {}); };
  EXPECT_NE(log_of(slow), "");
  EXPECT_EQ(log_of([&] {
              for (int i = 0; i < 5; ++i) slow();
            }),
            "");
  // Others are told all the same.
  EXPECT_NE(log_of([&] { calls.read(long_ago(calls), etcdserverpb::TxnRequest(), {}); }), "");
  std::string log;
  ASSERT_TRUE(eventually([&] { return !(log = log_of(slow)).empty(); }));
  EXPECT_EQ(log.find("unsaid_before=0"), std::string::npos) << log;
}

TEST_F(SlowCallsTest, Long_keys_and_long_transactions_are_cut) {
  kvdpb::Command command;
  for (int i = 0; i < 100; ++i)
    command.mutable_txn()->add_success()->mutable_request_put()->set_key(std::string(1000, 'k'));
  EXPECT_LT(shape_of(command).size(), 2000u);
}

}  // namespace
}  // namespace kv::server
