#include "raft/transport.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/random.h"
#include "raft/random_message.h"
#include "raft/transport_fixture.h"

namespace kv::raft {
namespace {

TEST(Transport, Messages_arrive_whole_and_in_order) {
  Member a(1), b(2);
  a.knows(b);
  b.knows(a);
  Random random(1);
  std::vector<Message> sent;
  for (size_t i = 0; i < 3000; ++i) {
    Message message = random_message(random, i % kMessageKinds, 3000);
    message.from = a.id();
    message.to = b.id();
    sent.push_back(message);
  }
  ASSERT_TRUE(a.wait_connected(b.id()));
  for (size_t i = 0; i < sent.size(); i += 10) {
    a->send({sent.begin() + static_cast<ptrdiff_t>(i), sent.begin() + static_cast<ptrdiff_t>(i) + 10});
  }
  ASSERT_TRUE(b.wait_received(sent.size()));
  EXPECT_EQ(b.received(), sent);
  EXPECT_EQ(a.stats_of(b.id()).dropped_messages, 0u);
  EXPECT_LT(b.batches(), sent.size()) << "messages that came together are delivered together";
}

TEST(Transport, Messages_sent_before_the_first_stream_is_up_are_kept) {
  Member a(1), b(2);
  a.knows(b);
  a->send({heartbeat(a.id(), b.id(), 1)});
  ASSERT_TRUE(b.wait_received(1));
  EXPECT_EQ(a.unreachable_calls(), 0u);
}

TEST(Transport, Large_appends_go_both_ways_at_once) {
  Member a(1), b(2);
  a.knows(b);
  b.knows(a);
  ASSERT_TRUE(a.wait_connected(b.id()));
  ASSERT_TRUE(b.wait_connected(a.id()));
  constexpr size_t kCount = 40;
  for (uint64_t i = 0; i < kCount; ++i) {
    a->send({append_of(a.id(), b.id(), Index(i), 1 << 20)});
    b->send({append_of(b.id(), a.id(), Index(i), 1 << 20)});
  }
  ASSERT_TRUE(a.wait_received(kCount));
  ASSERT_TRUE(b.wait_received(kCount));
  for (uint64_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(b.received()[i], append_of(a.id(), b.id(), Index(i), 1 << 20));
  }
  const PeerStats stats = b.stats_of(a.id());
  EXPECT_GT(stats.sent_bytes, kCount << 20);
  EXPECT_GT(stats.received_bytes, kCount << 20);
}

TEST(Transport, Three_members_hear_each_other) {
  Member members[] = {Member(Member::options(1)), Member(Member::options(2)), Member(Member::options(3))};
  for (Member& from : members) {
    for (Member& to : members) {
      if (&from != &to) from.knows(to);
    }
  }
  for (Member& from : members) {
    std::vector<Message> all;
    for (Member& to : members) {
      if (&from != &to) all.push_back(heartbeat(from.id(), to.id(), 5));
    }
    from->send(std::move(all));
  }
  for (Member& member : members) EXPECT_TRUE(member.wait_received(2));
}

TEST(Transport, Reconnects_when_the_peer_comes_back_and_tells_once_that_it_was_away) {
  Member a(1);
  auto options = Member::options(2);
  auto b = std::make_unique<Member>(options);
  options.listen_urls = {b->url()};
  a.knows(*b);
  ASSERT_TRUE(a.wait_connected(NodeId(2)));
  b.reset();
  ASSERT_TRUE(eventually([&] { return a.unreachable_calls() == 1; }));
  ASSERT_TRUE(eventually([&] {
    a->send({heartbeat(a.id(), NodeId(2), 1)});
    return a.stats_of(NodeId(2)).dropped_messages > 10;
  }));
  EXPECT_LE(a.unreachable_calls(), 2u) << "a call per turn, not per message";
  b = std::make_unique<Member>(options);
  ASSERT_TRUE(a.wait_connected(NodeId(2)));
  // Messages were lost since the core was told: it is told again when they can flow.
  EXPECT_TRUE(eventually([&] { return a.unreachable_calls() >= 2; }));
  a->send({heartbeat(a.id(), NodeId(2), 7)});
  EXPECT_TRUE(b->wait_received(1));
}

TEST(Transport, A_peer_that_dials_is_dialled_at_once) {
  auto options = Member::options(1);
  options.reconnect_min_ms = options.reconnect_max_ms = 600'000;
  Member a(options);
  auto later = Member::options(3);
  {
    Member once(later);
    later.listen_urls = {once.url()};
  }
  a->add_peer({NodeId(3), later.listen_urls});
  a->send({heartbeat(a.id(), NodeId(3), 1)});
  ASSERT_TRUE(eventually([&] { return a.unreachable_calls() == 1; })) << "nobody listens there yet";
  EXPECT_EQ(a->forwards_to(NodeId(3)), Transport::Forwards::kLost);
  Member c(later);
  c.knows(a);
  EXPECT_TRUE(a.wait_connected(NodeId(3))) << "it need not wait for ten minutes";
  EXPECT_EQ(a->forwards_to(NodeId(3)), Transport::Forwards::kInTheirTerm);
}

TEST(Transport, A_full_queue_drops_and_counts_and_tells_and_then_goes_on) {
  auto options = Member::options(1);
  options.max_queued_bytes = 4 << 20;
  Member a(options), b(2);
  a.knows(b);
  ASSERT_TRUE(a.wait_connected(b.id()));
  b.hold();
  uint64_t sent = 0;
  const auto send_until_dropped = [&](uint64_t count) {
    return eventually([&] {
      a->send({append_of(a.id(), b.id(), Index(sent++), 1 << 20)});
      return a.stats_of(b.id()).dropped_messages >= count;
    });
  };
  ASSERT_TRUE(send_until_dropped(20));
  ASSERT_TRUE(eventually([&] { return a.unreachable_calls() >= 1; }));
  // What is dropped after the core was told is a new gap.
  ASSERT_TRUE(send_until_dropped(a.stats_of(b.id()).dropped_messages + 1));
  const size_t told_while_full = a.unreachable_calls();
  const uint64_t dropped = a.stats_of(b.id()).dropped_messages;
  EXPECT_LT(told_while_full, dropped) << "once per turn, not once per message";
  b.release();
  ASSERT_TRUE(b.wait_received(sent - dropped));
  EXPECT_TRUE(eventually([&] { return a.unreachable_calls() > told_while_full; }));
  a->send({heartbeat(a.id(), b.id(), 1)});
  EXPECT_TRUE(b.wait_received(sent - dropped + 1));
  EXPECT_TRUE(a.stats_of(b.id()).connected);
}

TEST(Transport, A_message_above_the_frame_limit_is_dropped_and_the_stream_goes_on) {
  auto options = Member::options(1);
  options.max_frame_bytes = 1 << 20;
  Member a(options), b(2);
  a.knows(b);
  ASSERT_TRUE(a.wait_connected(b.id()));
  a->send({append_of(a.id(), b.id(), Index(0), 2 << 20), heartbeat(a.id(), b.id(), 9)});
  ASSERT_TRUE(b.wait_received(1));
  EXPECT_EQ(b.received()[0], heartbeat(a.id(), b.id(), 9));
  EXPECT_EQ(a.stats_of(b.id()).dropped_messages, 1u);
}

TEST(Transport, Messages_to_unknown_peers_are_dropped) {
  Member a(1);
  a->send({heartbeat(a.id(), NodeId(99), 1)});
  EXPECT_TRUE(a->stats().empty());
}

TEST(Transport, Appends_are_counted_on_both_sides) {
  Member a(1), b(2);
  a.knows(b);
  b.knows(a);
  ASSERT_TRUE(a.wait_connected(b.id()));
  a->send({append_of(a.id(), b.id(), Index(0), 100), heartbeat(a.id(), b.id(), 9),
           append_of(a.id(), b.id(), Index(1), 100)});
  ASSERT_TRUE(b.wait_received(3));
  EXPECT_EQ(a.stats_of(b.id()).sent_appends, 2u);
  EXPECT_EQ(b.stats_of(a.id()).received_appends, 2u);
  EXPECT_EQ(a.stats_of(b.id()).received_appends, 0u);
}

TEST(Transport, Pings_measure_the_round_trip) {
  Member a(1), b(2);
  a.knows(b);
  ASSERT_TRUE(eventually([&] { return a.stats_of(b.id()).round_trip_seconds > 0; }));
  EXPECT_LT(a.stats_of(b.id()).round_trip_seconds, 5.0);
  ASSERT_TRUE(eventually([&] { return a.stats_of(b.id()).round_trips.count >= 2; }));
  const RoundTrips trips = a.stats_of(b.id()).round_trips;
  const double average = trips.sum_seconds / static_cast<double>(trips.count);
  EXPECT_GT(trips.shortest_seconds, 0);
  EXPECT_LE(trips.shortest_seconds, average);
  EXPECT_LE(average, trips.longest_seconds);
  EXPECT_LE(trips.sum_of_squares, trips.sum_seconds * trips.longest_seconds * 1.000001);
}

TEST(Transport, A_healthy_stream_without_messages_outlives_the_idle_timeout) {
  auto options_a = Member::options(1), options_b = Member::options(2);
  options_a.idle_timeout_ms = options_b.idle_timeout_ms = 400;
  Member a(options_a), b(options_b);
  a.knows(b);
  ASSERT_TRUE(a.wait_connected(b.id()));
  const uint64_t before = a.stats_of(b.id()).sent_bytes;
  // Pings go every 100 ms, 24 bytes each: a dozen of them take three times the idle timeout.
  ASSERT_TRUE(eventually([&] { return a.stats_of(b.id()).sent_bytes >= before + 12 * 24; }));
  EXPECT_EQ(a.unreachable_calls(), 0u);
}

TEST(Transport, A_peer_that_stops_reading_is_given_up_after_the_idle_timeout) {
  auto options = Member::options(1);
  options.idle_timeout_ms = 200;
  Member a(options), b(2);
  a.knows(b);
  ASSERT_TRUE(a.wait_connected(b.id()));
  b.hold();
  for (uint64_t i = 0; i < 32; ++i) a->send({append_of(a.id(), b.id(), Index(i), 1 << 20)});
  EXPECT_TRUE(eventually([&] { return a.unreachable_calls() >= 1; }));
  b.release();
  EXPECT_TRUE(a.wait_connected(b.id()));
}

TEST(Transport, Tries_every_address_of_a_peer) {
  Member a(1), b(2);
  a->add_peer({b.id(), {"http://127.0.0.1:1", "http://no-such-host.invalid:1", b.url()}});
  EXPECT_TRUE(a.wait_connected(b.id()));
}

TEST(Transport, A_name_is_looked_up) {
  Member a(1), b(2);
  a->add_peer({b.id(), {"http://localhost:" + std::to_string(b.port())}});
  EXPECT_TRUE(a.wait_connected(b.id()));
}

TEST(Transport, New_addresses_are_used_at_the_next_dial) {
  Member a(1), b(2);
  a->add_peer({b.id(), {"http://127.0.0.1:1"}});
  ASSERT_TRUE(eventually([&] { return a.unreachable_calls() >= 1; }));
  a.knows(b);
  EXPECT_TRUE(a.wait_connected(b.id()));
}

TEST(Transport, Another_cluster_is_refused) {
  auto options = Member::options(2);
  options.cluster_id = kCluster + 1;
  Member a(1), b(options);
  a.knows(b);
  EXPECT_TRUE(eventually([&] { return a.unreachable_calls() >= 1; }));
  a->send({heartbeat(a.id(), b.id(), 1)});
  EXPECT_FALSE(a.stats_of(b.id()).connected);
  EXPECT_TRUE(b.received().empty());
}

TEST(Transport, An_address_of_another_member_is_refused) {
  Member a(1), b(2);
  a->add_peer({NodeId(3), {b.url()}});
  EXPECT_TRUE(eventually([&] { return a.unreachable_calls() >= 1; }));
  EXPECT_FALSE(a.stats_of(NodeId(3)).connected);
}

TEST(Transport, A_second_process_with_a_members_id_is_refused_while_the_first_lives) {
  Member receiver(1);
  auto first = std::make_unique<Member>(2);
  Member second(2);
  first->knows(receiver);
  ASSERT_TRUE(first->wait_connected(receiver.id()));
  second.knows(receiver);
  ASSERT_TRUE(eventually([&] { return second.unreachable_calls() >= 1; }));
  EXPECT_FALSE(second.stats_of(receiver.id()).connected);
  (*first)->send({heartbeat(first->id(), receiver.id(), 4)});
  ASSERT_TRUE(receiver.wait_received(1));
  // When the first is gone, the second is a restart.
  first.reset();
  EXPECT_TRUE(second.wait_connected(receiver.id()));
}

TEST(Transport, A_member_dialled_by_its_own_id_refuses) {
  Member a(1), imposter(1);
  Member b(2);
  imposter.knows(b);
  b.knows(a);
  ASSERT_TRUE(imposter.wait_connected(b.id()));
  ASSERT_TRUE(b.wait_connected(a.id()));
  Stranger stranger(a.port());
  const auto reply = stranger.greet(a.id(), a.id());
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->welcome, Welcome::kDuplicateSender);
}

TEST(Transport, A_removed_member_is_refused_until_it_is_added_again) {
  Member a(1), b(2);
  a.knows(b);
  b.knows(a);
  ASSERT_TRUE(a.wait_connected(b.id()));
  ASSERT_TRUE(b.wait_connected(a.id()));
  a->remove_peer(b.id());
  ASSERT_TRUE(eventually([&] { return !b.stats_of(a.id()).connected; }));
  EXPECT_TRUE(a->stats().empty());
  Stranger stranger(a.port());
  const auto reply = stranger.greet(b.id(), a.id());
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->welcome, Welcome::kRemovedSender);
  a.knows(b);
  EXPECT_TRUE(a.wait_connected(b.id()));
  EXPECT_TRUE(b.wait_connected(a.id()));
}

TEST(Transport, A_member_not_known_yet_is_heard_and_answered_where_its_hello_says) {
  Member a(1);
  // The port must be known before the transport that advertises it is started.
  auto options = Member::options(2);
  {
    const Member probe(options);
    options.listen_urls = options.advertise_urls = {probe.url()};
  }
  auto b = std::make_unique<Member>(options);
  b->knows(a);
  (*b)->send({heartbeat(b->id(), a.id(), 1)});
  ASSERT_TRUE(a.wait_received(1));
  ASSERT_TRUE(a.wait_connected(b->id()));
  a->send({heartbeat(a.id(), b->id(), 2)});
  ASSERT_TRUE(b->wait_received(1));
  b.reset();
  EXPECT_TRUE(eventually([&] { return a->stats().empty(); })) << "what was known by a hello only is forgotten";
}

TEST(Transport, Bad_options_are_refused_in_words) {
  const auto refuse = [](const Transport::Options& options) {
    return Transport::start(
               options, [](std::vector<Message>&&) {}, [](NodeId) {})
        .status();
  };
  auto options = Member::options(1);
  options.listen_urls = {"127.0.0.1:0"};
  EXPECT_EQ(refuse(options).code(), Code::kInvalidArgument);
  options.listen_urls = {"https://127.0.0.1:0"};
  EXPECT_EQ(refuse(options).code(), Code::kInvalidArgument);
  options = Member::options(0);
  EXPECT_EQ(refuse(options).code(), Code::kInvalidArgument);
  const Member holder(1);
  options = Member::options(1);
  options.listen_urls = {holder.url()};
  EXPECT_EQ(refuse(options).code(), Code::kUnavailable);
}

TEST(Transport, Many_threads_may_send_while_peers_come_and_go) {
  Member a(1), b(2), c(3);
  a.knows(b);
  ASSERT_TRUE(a.wait_connected(b.id()));
  std::vector<std::thread> threads;
  threads.reserve(5);
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 300; ++i) {
        a->send({heartbeat(a.id(), b.id(), t * 1000 + i), heartbeat(a.id(), c.id(), i)});
        if (i % 50 == 0) a->stats();
      }
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < 50; ++i) {
      a.knows(c);
      a->remove_peer(c.id());
    }
  });
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(b.wait_received(1200));
  // Each sender's messages are in its order.
  std::vector<uint64_t> next(4, 0);
  for (const Message& message : b.received()) {
    const uint64_t round = std::get<Heartbeat>(message.body).read_round;
    ASSERT_EQ(round % 1000, next[round / 1000]++);
  }
}

TEST(Transport, Stopping_while_dialling_and_looking_up_names_is_quick) {
  for (int i = 0; i < 20; ++i) {
    Member a(1);
    a->add_peer({NodeId(2), {"http://no-such-host.invalid:2380"}});
    a->add_peer({NodeId(3), {"http://127.0.0.1:1"}});
    a->send({heartbeat(a.id(), NodeId(2), 1)});
  }
}

}  // namespace
}  // namespace kv::raft
