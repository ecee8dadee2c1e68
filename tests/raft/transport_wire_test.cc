#include "raft/transport_wire.h"

#include <gtest/gtest.h>

#include "raft/random_message.h"
#include "raft/transport.h"

namespace kv::raft {
namespace {

Hello sample_hello() {
  Hello hello;
  hello.cluster_id = 0xc1;
  hello.sender = NodeId(0xa1);
  hello.receiver = NodeId(0xb1);
  hello.instance = 0x1234;
  hello.urls = "http://127.0.0.1:2380,http://10.0.0.1:2380";
  return hello;
}

TEST(TransportWire, A_hello_comes_back_as_it_was) {
  const Hello hello = sample_hello();
  const HelloRead read = read_hello(encode(hello) + "rest");
  ASSERT_EQ(read.state, HelloRead::State::kWhole);
  EXPECT_EQ(read.size, encode(hello).size());
  EXPECT_EQ(read.hello.oldest_protocol, kOldestProtocol);
  EXPECT_EQ(read.hello.newest_protocol, kNewestProtocol);
  EXPECT_EQ(read.hello.cluster_id, hello.cluster_id);
  EXPECT_EQ(read.hello.sender, hello.sender);
  EXPECT_EQ(read.hello.receiver, hello.receiver);
  EXPECT_EQ(read.hello.instance, hello.instance);
  EXPECT_EQ(read.hello.urls, hello.urls);
}

TEST(TransportWire, Every_cut_of_a_hello_is_incomplete_and_every_flipped_bit_is_bad) {
  const std::string whole = encode(sample_hello());
  for (size_t n = 0; n < whole.size(); ++n) {
    ASSERT_EQ(read_hello(std::string_view(whole).substr(0, n)).state, HelloRead::State::kIncomplete) << n;
  }
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_NE(read_hello(damaged).state, HelloRead::State::kWhole) << "bit " << bit;
  }
}

TEST(TransportWire, Http_and_tls_are_bad_from_their_first_byte) {
  EXPECT_EQ(read_hello("G").state, HelloRead::State::kBad);
  EXPECT_EQ(read_hello("\x16\x03\x01").state, HelloRead::State::kBad);
}

TEST(TransportWire, An_answer_comes_back_and_every_flipped_bit_is_found) {
  const HelloReply reply{1, Welcome::kWrongCluster, 7, NodeId(9)};
  const std::string bytes = encode(reply);
  ASSERT_EQ(bytes.size(), kHelloReplyBytes);
  const auto back = decode_hello_reply(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->protocol, 1);
  EXPECT_EQ(back->welcome, Welcome::kWrongCluster);
  EXPECT_EQ(back->cluster_id, 7u);
  EXPECT_EQ(back->sender, NodeId(9));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_FALSE(decode_hello_reply(damaged)) << "bit " << bit;
  }
}

std::string message_frame(const Message& message, uint64_t number) {
  Gather gather;
  append_message_frame(message, number, gather);
  std::vector<Gather::Piece> pieces;
  gather.pieces(pieces);
  std::string all;
  for (const auto& piece : pieces) all.append(piece.data, piece.size);
  return all;
}

TEST(TransportWire, A_frame_comes_back_and_every_flipped_bit_is_found) {
  Random random(1);
  const Message message = random_message(random, 2, 5000);
  const std::string frame = message_frame(message, 7);
  const std::string stream = frame + "rest";
  const FrameRead read = read_frame(stream, 7, 1 << 20);
  ASSERT_EQ(read.state, FrameRead::State::kWhole);
  EXPECT_EQ(read.size, frame.size());
  EXPECT_EQ(read.kind, FrameKind::kMessage);
  EXPECT_EQ(decode_message(read.body), message);
  for (size_t bit = 0; bit < 8 * (kFrameHeaderBytes + 100); ++bit) {
    std::string damaged = frame;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_NE(read_frame(damaged, 7, 1 << 20).state, FrameRead::State::kWhole) << "bit " << bit;
  }
  for (size_t n = 0; n < frame.size(); ++n) {
    ASSERT_EQ(read_frame(std::string_view(frame).substr(0, n), 7, 1 << 20).state, FrameRead::State::kIncomplete) << n;
  }
}

TEST(TransportWire, A_frame_in_another_place_of_the_stream_is_bad) {
  const Message message{NodeId(1), NodeId(2), Term(3), TimeoutNow{}};
  EXPECT_EQ(read_frame(message_frame(message, 7), 8, 1 << 20).state, FrameRead::State::kBadChecksum);
  EXPECT_EQ(read_frame(message_frame(message, 0), 1, 1 << 20).state, FrameRead::State::kBadChecksum);
}

TEST(TransportWire, A_frame_above_the_limit_is_refused_by_its_header_alone) {
  const std::string frame = small_frame(FrameKind::kPing, 5, 0);
  EXPECT_EQ(read_frame(frame, 0, 8).state, FrameRead::State::kWhole);
  EXPECT_EQ(read_frame(std::string_view(frame).substr(0, 8), 0, 7).state, FrameRead::State::kTooLong);
}

TEST(TransportWire, Peer_urls) {
  const auto good = parse_peer_url("http://10.0.0.1:2380");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->host, "10.0.0.1");
  EXPECT_EQ(good->port, 2380);
  EXPECT_EQ(parse_peer_url("http://[::1]:2380/")->host, "::1");
  EXPECT_EQ(parse_peer_url("http://node-1.example:80")->host, "node-1.example");
  EXPECT_FALSE(good->secure);
  EXPECT_TRUE(parse_peer_url("https://10.0.0.1:2380")->secure);
  for (const char* bad :
       {"", "10.0.0.1:2380", "http://", "http://:1", "http://a", "http://a:", "http://a:x", "http://a:70000",
        "http://a:1/x", "http://a:1?x", "http://u@a:1", "http://[::1:1", "http://::1:1", "https://a", "ftp://a:1"}) {
    EXPECT_EQ(parse_peer_url(bad).status().code(), Code::kInvalidArgument) << bad;
  }
}

TEST(TransportWire, Url_lists_split_and_join) {
  EXPECT_EQ(split_urls("a,b"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(split_urls(",a,,b,"), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(split_urls("").empty());
  EXPECT_EQ(join_urls({"a", "b"}), "a,b");
}

}  // namespace
}  // namespace kv::raft
