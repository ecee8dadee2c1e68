#include "server/peer_calls.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace kv::server {
namespace {

using raft::NodeId;

class HandClock final : public Clock {
 public:
  int64_t monotonic_ms() const override { return now; }
  int64_t wall_ms() const override { return now; }
  int64_t now = 1000;
};

class PeerCallsTest : public testing::Test {
 protected:
  PeerCallsTest() {
    PeerCalls::Ports ports;
    ports.send = [this](NodeId to, std::string bytes) {
      if (!reachable_) return false;
      sent_.emplace_back(to, std::move(bytes));
      return true;
    };
    ports.serve = [this](NodeId, kvdpb::PeerRequest&& request, int64_t expires_ms, PeerCalls::Reply reply) {
      served_.push_back({std::move(request), expires_ms, std::move(reply)});
    };
    ports.clock = &clock_;
    ports.max_calls = 2;
    ports.max_served = 2;
    calls_ = std::make_unique<PeerCalls>(std::move(ports), 100);
  }

  void ask(uint64_t to, int64_t expires_ms = 5000) {
    kvdpb::PeerRequest request;
    request.mutable_lease_keep_alive()->set_id(7);
    calls_->call(NodeId(to), request, expires_ms, [this](Status status, kvdpb::PeerResponse&& response) {
      answers_.emplace_back(std::move(status), response.lease_keep_alive().ttl());
    });
  }
  static std::string answer(uint64_t number, int64_t ttl) {
    kvdpb::PeerMessage message;
    message.set_number(number);
    message.mutable_response()->mutable_lease_keep_alive()->set_ttl(ttl);
    return message.SerializeAsString();
  }
  static std::string question(uint64_t number, int64_t timeout_ms) {
    kvdpb::PeerMessage message;
    message.set_number(number);
    message.mutable_request()->set_timeout_ms(timeout_ms);
    message.mutable_request()->mutable_lease_keep_alive()->set_id(7);
    return message.SerializeAsString();
  }

  struct Served {
    kvdpb::PeerRequest request;
    int64_t expires_ms;
    PeerCalls::Reply reply;
  };
  HandClock clock_;
  bool reachable_ = true;
  std::vector<std::pair<NodeId, std::string>> sent_;
  std::vector<Served> served_;
  std::vector<std::pair<Status, int64_t>> answers_;
  std::unique_ptr<PeerCalls> calls_;
};

TEST_F(PeerCallsTest, An_answer_ends_its_call_once) {
  ask(2);
  ASSERT_EQ(sent_.size(), 1u);
  kvdpb::PeerMessage message;
  ASSERT_TRUE(message.ParseFromString(sent_[0].second));
  EXPECT_EQ(message.request().timeout_ms(), 4000);
  EXPECT_TRUE(calls_->receive(NodeId(3), answer(message.number(), 5))) << "another peer's answer is passed over";
  EXPECT_TRUE(answers_.empty());
  EXPECT_TRUE(calls_->receive(NodeId(2), answer(message.number(), 60)));
  EXPECT_TRUE(calls_->receive(NodeId(2), answer(message.number(), 61)));
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_TRUE(answers_[0].first.ok());
  EXPECT_EQ(answers_[0].second, 60);
}

TEST_F(PeerCallsTest, Ends_with_the_stream_the_leader_the_time_and_the_member) {
  ask(2);
  calls_->broken(NodeId(3));
  EXPECT_TRUE(answers_.empty());
  calls_->broken(NodeId(2));
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].first.text(), "etcdserver: request timed out, possibly due to connection lost");
  ask(2);
  calls_->leader_is(NodeId(2));
  EXPECT_EQ(answers_.size(), 1u);
  calls_->leader_is(NodeId());
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[1].first.text(), "etcdserver: leader changed");
  ask(2);
  clock_.now = 4999;
  calls_->expire();
  EXPECT_EQ(answers_.size(), 2u);
  clock_.now = 5000;
  calls_->expire();
  ASSERT_EQ(answers_.size(), 3u);
  EXPECT_EQ(answers_[2].first.text(), "etcdserver: request timed out");
  ask(2, 9000);
  calls_->close();
  ASSERT_EQ(answers_.size(), 4u);
  EXPECT_EQ(answers_[3].first.text(), "etcdserver: server stopped");
  ask(2, 9000);
  EXPECT_EQ(answers_.size(), 5u);
  EXPECT_EQ(calls_->waiting(), 0u);
}

TEST_F(PeerCallsTest, Refuses_what_it_cannot_send_or_hold) {
  reachable_ = false;
  ask(2);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].first.code(), Code::kUnavailable);
  reachable_ = true;
  ask(2);
  ask(2);
  ask(2);
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[1].first.text(), "etcdserver: too many requests");
}

TEST_F(PeerCallsTest, Serves_what_peers_ask_within_bounds) {
  ASSERT_TRUE(calls_->receive(NodeId(2), question(1, 1'000'000'000'000)));
  ASSERT_TRUE(calls_->receive(NodeId(2), question(2, -5)));
  ASSERT_TRUE(calls_->receive(NodeId(2), question(3, 100)));
  ASSERT_EQ(served_.size(), 2u);
  EXPECT_EQ(served_[0].expires_ms, clock_.now + 60'000);
  EXPECT_EQ(served_[1].expires_ms, clock_.now);
  kvdpb::PeerMessage message;
  ASSERT_EQ(sent_.size(), 1u);
  ASSERT_TRUE(message.ParseFromString(sent_[0].second));
  EXPECT_EQ(message.number(), 3u);
  EXPECT_EQ(message.response().text(), "etcdserver: too many requests");
  kvdpb::PeerResponse response;
  response.mutable_lease_keep_alive()->set_ttl(9);
  served_[0].reply(std::move(response));
  ASSERT_EQ(sent_.size(), 2u);
  ASSERT_TRUE(message.ParseFromString(sent_[1].second));
  EXPECT_EQ(message.number(), 1u);
  EXPECT_EQ(message.response().lease_keep_alive().ttl(), 9);
  // After the end nothing is sent.
  calls_->close();
  served_[1].reply({});
  EXPECT_EQ(sent_.size(), 2u);
}

TEST_F(PeerCallsTest, Nonsense_is_refused_and_what_is_newer_is_answered) {
  EXPECT_FALSE(calls_->receive(NodeId(2), "\xff\xff\xff"));
  EXPECT_FALSE(calls_->receive(NodeId(2), "")) << "neither a request nor an answer";
  kvdpb::PeerMessage newer;
  newer.set_number(4);
  newer.mutable_request();
  EXPECT_TRUE(calls_->receive(NodeId(2), newer.SerializeAsString()));
  kvdpb::PeerMessage message;
  ASSERT_EQ(sent_.size(), 1u);
  ASSERT_TRUE(message.ParseFromString(sent_[0].second));
  EXPECT_EQ(message.response().code(), static_cast<int>(Code::kUnimplemented));
  Random random(3);
  const std::string good = question(1, 100);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    for (uint64_t n = 1 + random.below(4); n > 0; --n)
      bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    bytes.resize(random.below(bytes.size() + 1));
    (void)calls_->receive(NodeId(2), bytes);
    for (Served& served : served_) served.reply({});
    served_.clear();
  }
}

}  // namespace
}  // namespace kv::server
