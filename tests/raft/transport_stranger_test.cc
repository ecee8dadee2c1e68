// What a stranger does to the peer port: its own connection is closed, and nothing else happens.
#include <gtest/gtest.h>

#include <atomic>

#include "base/random.h"
#include "raft/random_message.h"
#include "raft/transport_fixture.h"

namespace kv::raft {
namespace {

class TransportStranger : public ::testing::Test {
 protected:
  TransportStranger() : member_(Member::options(1)), friend_(2) {
    friend_.knows(member_);
    EXPECT_TRUE(friend_.wait_connected(member_.id()));
  }
  ~TransportStranger() override {
    // Whatever the stranger did, the friend's stream is whole and no message was invented.
    friend_->send({heartbeat(friend_.id(), member_.id(), 4711)});
    EXPECT_TRUE(member_.wait_received(1 + expected_));
    EXPECT_EQ(member_.received().back(), heartbeat(friend_.id(), member_.id(), 4711));
    EXPECT_EQ(member_.received().size(), 1 + expected_);
    EXPECT_EQ(friend_.unreachable_calls(), 0u);
  }

  // The frame of a message from member 5 to this one.
  std::string frame(const Message& message, uint64_t number) {
    Gather gather;
    append_message_frame(message, number, gather);
    std::vector<Gather::Piece> pieces;
    gather.pieces(pieces);
    std::string bytes;
    for (const auto& piece : pieces) bytes.append(piece.data, piece.size);
    return bytes;
  }
  Message message(uint64_t round) { return heartbeat(NodeId(5), member_.id(), round); }

  Member member_;
  Member friend_;
  size_t expected_ = 0;
};

TEST_F(TransportStranger, Random_bytes_are_closed) {
  Random random(1);
  for (int i = 0; i < 50; ++i) {
    Stranger stranger(member_.port());
    stranger.say("\x80" + random_bytes(random, 3000));
    EXPECT_TRUE(stranger.is_closed_by_peer());
  }
}

TEST_F(TransportStranger, Http_and_tls_and_grpc_are_closed) {
  for (const char* opening : {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                              "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}) {
    Stranger stranger(member_.port());
    stranger.say(opening);
    EXPECT_TRUE(stranger.is_closed_by_peer()) << opening;
  }
}

TEST(TransportHttp, A_get_is_answered_and_closed_however_it_is_cut) {
  Transport::Options options = Member::options(1);
  options.answer_http = [](std::string_view path) { return "HTTP/1.1 200 OK\r\n\r\n" + std::string(path); };
  Member member(options);
  const std::string request = "GET /members?x=1 HTTP/1.1\r\nHost: x\r\n\r\n";
  for (const size_t cut : {size_t{1}, size_t{3}, size_t{4}, request.size() - 1, request.size()}) {
    Stranger stranger(member.port());
    stranger.say(request.substr(0, cut));
    stranger.say(request.substr(cut));
    EXPECT_EQ(stranger.hear(1 << 16), "HTTP/1.1 200 OK\r\n\r\n/members");
  }
  Stranger endless(member.port());
  endless.say("GET /" + std::string(4 * kMaxHelloBytes, 'x'));
  EXPECT_EQ(endless.hear(1 << 16), "");
  Stranger post(member.port());
  post.say("POST /members HTTP/1.1\r\n\r\n");
  EXPECT_EQ(post.hear(1 << 16), "");
}

TEST(TransportRemoved, A_member_is_told_who_says_that_it_was_removed) {
  std::atomic<uint64_t> told_by{0};
  Transport::Options options = Member::options(3);
  options.on_removed = [&](NodeId by) { told_by = by.value(); };
  Member removed(options);
  Member stays(1);
  stays.knows(removed);
  removed.knows(stays);
  ASSERT_TRUE(removed.wait_connected(stays.id()));
  EXPECT_EQ(told_by, 0u);
  stays->remove_peer(removed.id());
  EXPECT_TRUE(eventually([&] { return told_by == 1; }));
}

TEST_F(TransportStranger, A_stranger_that_leaves_at_once_is_nothing) {
  for (int i = 0; i < 100; ++i) Stranger(member_.port()).say(i % 2 == 0 ? "" : "KVD");
}

TEST_F(TransportStranger, Answers_say_what_is_wrong_with_a_hello) {
  const auto answer = [this](const Hello& hello) {
    Stranger stranger(member_.port());
    const auto reply = stranger.greet(hello);
    EXPECT_TRUE(reply.has_value());
    EXPECT_TRUE(stranger.is_closed_by_peer());
    EXPECT_EQ(reply->cluster_id, kCluster);
    EXPECT_EQ(reply->sender, member_.id());
    return reply->welcome;
  };
  Hello good;
  good.cluster_id = kCluster;
  good.sender = NodeId(5);
  good.receiver = member_.id();
  Hello hello = good;
  hello.cluster_id = 1;
  EXPECT_EQ(answer(hello), Welcome::kWrongCluster);
  hello = good;
  hello.receiver = NodeId(9);
  EXPECT_EQ(answer(hello), Welcome::kWrongReceiver);
  hello = good;
  hello.oldest_protocol = hello.newest_protocol = kNewestProtocol + 1;
  EXPECT_EQ(answer(hello), Welcome::kWrongProtocol);
  hello = good;
  hello.sender = friend_.id();
  hello.instance = 123;
  EXPECT_EQ(answer(hello), Welcome::kDuplicateSender);
  hello = good;
  hello.sender = NodeId(0);
  EXPECT_EQ(answer(hello), Welcome::kDuplicateSender);
}

TEST_F(TransportStranger, Half_a_frame_then_the_end_delivers_nothing) {
  const std::string bytes = frame(message(1), 0);
  for (size_t n = 0; n < bytes.size(); n += 7) {
    Stranger stranger(member_.port());
    ASSERT_TRUE(stranger.greet(NodeId(5), member_.id()));
    stranger.say(std::string_view(bytes).substr(0, n));
  }
}

TEST_F(TransportStranger, What_came_whole_before_the_damage_is_delivered_and_the_rest_is_not) {
  Stranger stranger(member_.port());
  ASSERT_TRUE(stranger.greet(NodeId(5), member_.id()));
  std::string damaged = frame(message(2), 1);
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  stranger.say(frame(message(1), 0) + damaged + frame(message(3), 2));
  EXPECT_TRUE(stranger.is_closed_by_peer());
  ASSERT_TRUE(member_.wait_received(1));
  EXPECT_EQ(member_.received()[0], message(1));
  expected_ = 1;
}

TEST_F(TransportStranger, Bad_frames_are_closed) {
  Message foreign = message(1);
  foreign.from = NodeId(6);
  Message lost = message(1);
  lost.to = NodeId(6);
  const std::string oversize("\xff\xff\xff\xff\x01\0\0\0", 8);
  const std::string no_kind("\x08\0\0\0\x09\0\0\0", 8);
  const std::string reserved("\x08\0\0\0\x01\x01\0\0", 8);
  for (const std::string& bytes : {
           oversize, no_kind, reserved, frame(foreign, 0), frame(lost, 0),
           frame(message(1), 1),                    // not the first of the stream
           small_frame(FrameKind::kPong, 1, 0),     // nobody asked
           small_frame(FrameKind::kMessage, 1, 0),  // eight bytes that are no message
       }) {
    Stranger stranger(member_.port());
    ASSERT_TRUE(stranger.greet(NodeId(5), member_.id()));
    stranger.say(bytes);
    EXPECT_TRUE(stranger.is_closed_by_peer());
  }
}

TEST_F(TransportStranger, A_claimed_length_takes_no_memory) {
  // Headers that announce 64 MiB each: buffers grow with what comes, so this is cheap.
  std::vector<std::unique_ptr<Stranger>> strangers;
  for (uint64_t i = 0; i < 32; ++i) {
    strangers.push_back(std::make_unique<Stranger>(member_.port()));
    ASSERT_TRUE(strangers.back()->greet(NodeId(100 + i), member_.id()));
    strangers.back()->say(std::string("\0\0\0\x04\x01\0\0\0", 8) + std::string(100, 'x'));
  }
}

TEST_F(TransportStranger, Frames_cut_anywhere_by_the_network_are_put_together) {
  Stranger stranger(member_.port());
  ASSERT_TRUE(stranger.greet(NodeId(5), member_.id()));
  std::string bytes;
  for (uint64_t i = 0; i < 4; ++i) bytes += frame(message(i), i);
  for (const char c : bytes) ASSERT_TRUE(stranger.say(std::string_view(&c, 1)));
  ASSERT_TRUE(member_.wait_received(4));
  for (uint64_t i = 0; i < 4; ++i) EXPECT_EQ(member_.received()[i], message(i));
  expected_ = 4;
}

TEST_F(TransportStranger, The_same_process_that_reconnects_replaces_its_older_stream) {
  Stranger older(member_.port());
  ASSERT_EQ(older.greet(NodeId(5), member_.id(), 77)->welcome, Welcome::kAccepted);
  Stranger newer(member_.port());
  ASSERT_EQ(newer.greet(NodeId(5), member_.id(), 77)->welcome, Welcome::kAccepted);
  EXPECT_TRUE(older.is_closed_by_peer());
  newer.say(frame(message(1), 0));
  EXPECT_TRUE(member_.wait_received(1));
  expected_ = 1;
}

TEST_F(TransportStranger, Unknown_members_are_heard_up_to_a_limit) {
  std::vector<std::unique_ptr<Stranger>> strangers;
  size_t accepted = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    strangers.push_back(std::make_unique<Stranger>(member_.port()));
    const auto reply = strangers.back()->greet(NodeId(100 + i), member_.id());
    ASSERT_TRUE(reply);
    if (reply->welcome == Welcome::kAccepted) ++accepted;
  }
  EXPECT_EQ(accepted, 63u) << "64 less the friend, whom the member knows by its hello only";
}

TEST(TransportStrangers, Slow_hellos_run_into_the_timeout) {
  auto options = Member::options(1);
  options.hello_timeout_ms = 100;
  Member member(options);
  Stranger silent(member.port());
  Stranger slow(member.port());
  Hello hello;
  hello.cluster_id = kCluster;
  hello.sender = NodeId(5);
  hello.receiver = member.id();
  const std::string bytes = encode(hello);
  // A byte every 20 ms: the whole hello would take more than a second.
  size_t said = 0;
  const bool closed = eventually([&] {
    ::poll(nullptr, 0, 20);
    return said == bytes.size() || !slow.say(std::string_view(bytes).substr(said++, 1));
  });
  EXPECT_TRUE(closed);
  EXPECT_LT(said, bytes.size());
  EXPECT_TRUE(silent.is_closed_by_peer());
}

TEST(TransportStrangers, The_oldest_of_too_many_strangers_goes_and_a_member_gets_in) {
  auto options = Member::options(1);
  options.max_strangers = 4;
  Member member(options);
  std::vector<std::unique_ptr<Stranger>> strangers;
  for (int i = 0; i < 12; ++i) strangers.push_back(std::make_unique<Stranger>(member.port()));
  for (size_t i = 0; i < 8; ++i) EXPECT_TRUE(strangers[i]->is_closed_by_peer()) << i;
  Member peer(2);
  peer.knows(member);
  EXPECT_TRUE(peer.wait_connected(member.id()));
  EXPECT_TRUE(strangers.back()->is_open_now());
}

TEST(TransportStrangers, A_silent_member_is_closed_after_the_idle_timeout_and_a_second_process_may_follow) {
  auto options = Member::options(1);
  options.idle_timeout_ms = 200;
  Member member(options);
  Stranger first(member.port());
  ASSERT_EQ(first.greet(NodeId(5), member.id(), 1)->welcome, Welcome::kAccepted);
  EXPECT_TRUE(first.is_closed_by_peer());
  Stranger second(member.port());
  EXPECT_EQ(second.greet(NodeId(5), member.id(), 2)->welcome, Welcome::kAccepted);
}

// A server that is no kvd, and one that lies: the dialling side checks too.
class FalseServer {
 public:
  FalseServer() : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~FalseServer() { ::close(listener_); }
  // Takes one connection, reads the hello, answers, and waits for the other side to close.
  bool serve(const std::string& answer) {
    const int fd = ::accept(listener_, nullptr, nullptr);
    char buffer[4096];
    EXPECT_GT(::recv(fd, buffer, sizeof buffer, 0), 0);
    EXPECT_EQ(::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL), static_cast<ssize_t>(answer.size()));
    pollfd waiting{fd, POLLIN, 0};
    bool closed = false;
    while (!closed && ::poll(&waiting, 1, 20000) > 0) closed = ::recv(fd, buffer, sizeof buffer, 0) <= 0;
    ::close(fd);
    return closed;
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  int listener_;
  uint16_t port_ = 0;
};

TEST(TransportStrangers, The_dialling_side_checks_the_answer_too) {
  FalseServer server;
  Member member(1);
  member->add_peer({NodeId(2), {server.url()}});
  const HelloReply good{1, Welcome::kAccepted, kCluster, NodeId(2)};
  HelloReply other_cluster = good, other_member = good, other_protocol = good;
  other_cluster.cluster_id = 1;
  other_member.sender = NodeId(3);
  other_protocol.protocol = kNewestProtocol + 1;
  const std::string http = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
  for (const std::string& answer : {http, encode(other_cluster), encode(other_member), encode(other_protocol)}) {
    EXPECT_TRUE(server.serve(answer));
    EXPECT_FALSE(member.stats_of(NodeId(2)).connected);
  }
  // A good answer, then bytes that nobody asked for.
  EXPECT_TRUE(server.serve(encode(good) + small_frame(FrameKind::kPong, 1, 5)));
  EXPECT_TRUE(server.serve(encode(good) + "something else than a pong, and more than a frame of it"));
}

}  // namespace
}  // namespace kv::raft
