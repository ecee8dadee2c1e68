// Payloads: what members say to each other besides raft's messages.
#include <gtest/gtest.h>

#include "raft/transport_fixture.h"

namespace kv::raft {
namespace {

using Received = std::vector<std::pair<NodeId, std::string>>;

TEST(TransportPayload, Arrives_in_order_between_messages) {
  Member a(1), b(2);
  a.knows(b);
  ASSERT_TRUE(a.wait_connected(b.id()));
  Received sent;
  for (int i = 0; i < 500; ++i) {
    sent.emplace_back(a.id(), std::string(static_cast<size_t>(i * 7), static_cast<char>('a' + i % 26)));
    ASSERT_TRUE(a->send_payload(b.id(), sent.back().second));
    a->send({heartbeat(a.id(), b.id(), static_cast<uint64_t>(i))});
  }
  EXPECT_TRUE(eventually([&] { return b.payloads().size() == sent.size(); }));
  EXPECT_EQ(b.payloads(), sent);
  EXPECT_TRUE(b.wait_received(500));
}

TEST(TransportPayload, Is_refused_at_once_when_it_cannot_be_sent) {
  auto options = Member::options(1);
  options.max_payload_bytes = 100;
  options.max_queued_payload_bytes = 250;
  Member a(options), b(2);
  EXPECT_FALSE(a->send_payload(b.id(), "unknown peer"));
  a->add_peer({b.id(), {"http://127.0.0.1:1"}});
  EXPECT_FALSE(a->send_payload(b.id(), "a peer that is away"));
  a.knows(b);
  ASSERT_TRUE(a.wait_connected(b.id()));
  EXPECT_FALSE(a->send_payload(b.id(), std::string(101, 'x'))) << "too long";
  // The reader stands still, so sooner or later the queue is full, and later empty again.
  b.hold();
  a->send({heartbeat(a.id(), b.id(), 1)});
  EXPECT_TRUE(eventually([&] {
    a->send({append_of(a.id(), b.id(), Index(1), 1 << 20)});
    return !a->send_payload(b.id(), std::string(100, 'x'));
  }));
  b.release();
  EXPECT_TRUE(eventually([&] { return a->send_payload(b.id(), "last"); }));
  EXPECT_TRUE(eventually([&] { return !b.payloads().empty() && b.payloads().back().second == "last"; }));
}

TEST(TransportPayload, Who_waits_for_an_answer_hears_of_either_stream_that_ends) {
  Member a(1);
  {
    Member b(2);
    a.knows(b);
    b.knows(a);
    ASSERT_TRUE(a.wait_connected(b.id()));
    ASSERT_TRUE(b.wait_connected(a.id()));
    EXPECT_TRUE(a.broken().empty());
  }
  EXPECT_TRUE(eventually([&] { return a.broken().size() >= 2; })) << "that to the peer and that from it";
  EXPECT_EQ(a.broken()[0], NodeId(2));
  EXPECT_FALSE(a->send_payload(NodeId(2), "gone"));
}

std::string frame_of(std::string_view payload) { return payload_frame(payload, 0); }

TEST(TransportPayload, Nonsense_closes_the_stream) {
  Member member(1);
  Stranger good(member.port());
  ASSERT_TRUE(good.greet(NodeId(5), member.id()));
  good.say(frame_of("sense"));
  EXPECT_TRUE(eventually([&] { return member.payloads().size() == 1; }));
  EXPECT_TRUE(good.is_open_now());
  Stranger bad(member.port());
  ASSERT_TRUE(bad.greet(NodeId(6), member.id()));
  bad.say(frame_of("nonsense"));
  EXPECT_TRUE(bad.is_closed_by_peer());
  Stranger large(member.port());
  ASSERT_TRUE(large.greet(NodeId(7), member.id()));
  large.say(frame_of(std::string((4 << 20) + 1, 'x')));
  EXPECT_TRUE(large.is_closed_by_peer());
}

TEST(TransportPayload, A_peer_of_the_first_protocol_version_has_none) {
  Member member(1);
  Hello hello;
  hello.newest_protocol = 1;
  hello.cluster_id = kCluster;
  hello.sender = NodeId(5);
  hello.receiver = member.id();
  Stranger old(member.port());
  const auto reply = old.greet(hello);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->protocol, 1);
  old.say(frame_of("sense"));
  EXPECT_TRUE(old.is_closed_by_peer());
  EXPECT_TRUE(member.payloads().empty());
}

}  // namespace
}  // namespace kv::raft
