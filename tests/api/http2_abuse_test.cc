// What hostile clients do to HTTP/2 servers. Each is limited, none is a crash, and the others are served meanwhile.
#include <gtest/gtest.h>

#include <string>

#include "api/net_fixture.h"

namespace kv::test {
namespace {

constexpr uint32_t kEnhanceYourCalm = 11;

class Http2AbuseTest : public NetTest {
 protected:
  // Reads until GOAWAY; its error code, or -1. Then the connection must end.
  int goaway(RawHttp2& client, std::string* why = nullptr) {
    const auto frame = client.next_of(kGoAway);
    if (!frame) return -1;
    if (why != nullptr) *why = debug_data(*frame);
    EXPECT_TRUE(client.peer().closes());
    return static_cast<int>(error_code(*frame));
  }
  void expect_others_are_served() {
    RawHttp2 other(port());
    EXPECT_EQ(other.call(1, kEmptyCall, grpc_frame("")).grpc_status(), 0);
    EXPECT_EQ(other.call(3, kUnaryCall, simple_request(10)).grpc_status(), 0);
  }
};

TEST_F(Http2AbuseTest, Rapid_resets_end_the_connection) {  // CVE-2023-44487
  options_.max_resets_per_second = 100;
  start();
  RawHttp2 client(port());
  std::string flood;
  for (uint32_t id = 1; id < 2000; id += 2) {
    flood += encode_frame(
        {.type = kHeaders, .flags = kEndHeaders, .stream = id, .payload = encode_fields(grpc_fields(kHold))});
    flood += encode_frame({.type = kRstStream, .stream = id, .payload = big_endian_32(8)});
  }
  client.peer().send(flood);
  std::string why;
  EXPECT_EQ(goaway(client, &why), static_cast<int>(kEnhanceYourCalm));
  EXPECT_EQ(why, "too_many_resets");
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, Resets_that_the_client_provokes_end_the_connection) {  // CVE-2025-8671
  options_.max_resets_per_second = 100;
  start();
  RawHttp2 client(port());
  std::string flood;
  for (uint32_t id = 1; id < 2000; id += 2) {
    flood += encode_frame(
        {.type = kHeaders, .flags = kEndHeaders, .stream = id, .payload = encode_fields(grpc_fields(kHold))});
    flood += encode_frame({.type = kWindowUpdate, .stream = id, .payload = big_endian_32(0x7fffffff)});  // too much
  }
  client.peer().send(flood);
  EXPECT_EQ(goaway(client), static_cast<int>(kEnhanceYourCalm));
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, Malformed_requests_without_end_end_the_connection) {
  options_.max_resets_per_second = 100;
  start();
  RawHttp2 client(port());
  std::string flood;
  for (uint32_t id = 1; id < 2000; id += 2) {
    flood +=
        encode_frame({.type = kHeaders, .flags = kEndHeaders, .stream = id, .payload = encode_fields({{"A", "b"}})});
  }
  client.peer().send(flood);
  EXPECT_EQ(goaway(client), static_cast<int>(kEnhanceYourCalm));
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, Resets_of_answered_streams_are_no_abuse) {
  options_.max_resets_per_second = 10;
  start();
  RawHttp2 client(port());
  for (uint32_t id = 1; id < 100; id += 2) {
    EXPECT_EQ(client.call(id, kEmptyCall, grpc_frame("")).grpc_status(), 0);
    client.reset(id);
  }
  EXPECT_EQ(client.call(101, kEmptyCall, grpc_frame("")).grpc_status(), 0);
}

TEST_F(Http2AbuseTest, A_flood_of_settings_ends_the_connection) {
  options_.max_control_frames_per_second = 100;
  start();
  RawHttp2 client(port());
  std::string flood;
  for (int i = 0; i < 2000; ++i) flood += encode_frame({.type = kSettings, .payload = setting(4, 65535)});
  client.peer().send(flood);
  EXPECT_EQ(goaway(client), static_cast<int>(kEnhanceYourCalm));
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, A_flood_of_priorities_ends_the_connection) {
  options_.max_control_frames_per_second = 100;
  start();
  RawHttp2 client(port());
  std::string flood;
  const std::string priority("\0\0\0\3\1", 5);
  for (int i = 0; i < 2000; ++i) flood += encode_frame({.type = kPriority, .stream = 1, .payload = priority});
  client.peer().send(flood);
  EXPECT_EQ(goaway(client), static_cast<int>(kEnhanceYourCalm));
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, A_flood_of_empty_data_frames_ends_the_connection) {
  options_.max_control_frames_per_second = 100;
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kHold), kEndHeaders);
  std::string flood;
  for (int i = 0; i < 2000; ++i) flood += encode_frame({.type = kData, .stream = 1});
  client.peer().send(flood);
  EXPECT_EQ(goaway(client), static_cast<int>(kEnhanceYourCalm));
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, Pings_too_often_are_told_so_as_grpc_clients_understand_it) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kHold), kEndHeaders);
  client.send_data(1, simple_request(0), kEndStream);
  const HeldCall held = take_held();
  for (int i = 0; i < 4; ++i) client.send_ping();
  std::string why;
  EXPECT_EQ(goaway(client, &why), static_cast<int>(kEnhanceYourCalm));
  EXPECT_EQ(why, "too_many_pings");
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, A_ping_after_each_answer_is_no_abuse) {
  start();
  RawHttp2 client(port());
  for (uint32_t id = 1; id < 100; id += 2) {
    EXPECT_EQ(client.call(id, kEmptyCall, grpc_frame("")).grpc_status(), 0);
    client.send_ping();
  }
  EXPECT_EQ(client.call(101, kEmptyCall, grpc_frame("")).grpc_status(), 0);
}

TEST_F(Http2AbuseTest, Pings_as_often_as_allowed_are_no_abuse) {
  options_.keepalive_min_time_ms = 1;
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kHold), kEndHeaders);
  client.send_data(1, simple_request(0), kEndStream);
  const HeldCall held = take_held();
  for (int i = 0; i < 10; ++i) {
    client.send_ping();
    ASSERT_TRUE(client.next_of(kPing).has_value()) << i;
    client.peer().receive(20);  // nothing comes: the time passes
  }
  EXPECT_EQ(client.call(3, kEmptyCall, grpc_frame("")).grpc_status(), 0);
}

TEST_F(Http2AbuseTest, Continuations_without_end_are_cut_off) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kEmptyCall), 0);
  for (int i = 0; i < 10000; ++i) {
    if (!client.send({.type = kContinuation, .stream = 1, .payload = encode_fields({{"a", "b"}})})) break;
  }
  EXPECT_TRUE(client.peer().closes());
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, A_head_above_the_limit_is_refused_and_the_connection_lives) {
  options_.max_header_bytes = 8 << 10;
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kEmptyCall, {{"x", std::string(9000, 'x')}}), kEndHeaders);
  client.send_data(1, grpc_frame(""), kEndStream);
  EXPECT_EQ(client.read_reply(1).grpc_status(), 8);
  Fields plain{{":method", "GET"}, {":scheme", "http"}, {":path", "/version"}, {"x", std::string(9000, 'x')}};
  client.send_headers(3, plain, kEndHeaders | kEndStream);
  EXPECT_EQ(client.read_reply(3).header(":status"), "431");
  EXPECT_EQ(client.call(5, kEmptyCall, grpc_frame("")).grpc_status(), 0);
}

TEST_F(Http2AbuseTest, A_header_bomb_ends_the_connection) {
  start();
  RawHttp2 client(port());
  // One field of 4,000 bytes goes into the table; each further byte of the block unpacks it again: 16 KiB on the wire
  // stand for 60 MiB of headers.
  std::string block = encode_fields({{":method", "POST"}, {":scheme", "http"}, {":path", kEmptyCall}});
  block += '\x40';  // literal, indexed
  block += encode_fields({{"x", std::string(4000, 'x')}}).substr(1);
  block += std::string(16000 - block.size(), '\xbe');  // the table's first entry
  client.send({.type = kHeaders, .flags = kEndHeaders, .stream = 1, .payload = block});
  std::string why;
  EXPECT_EQ(goaway(client, &why), static_cast<int>(kEnhanceYourCalm));
  EXPECT_EQ(why, "header_bomb");
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, Headers_that_do_not_end_are_cut_off) {
  options_.header_timeout_ms = 50;
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kEmptyCall), 0);
  EXPECT_EQ(goaway(client), static_cast<int>(kEnhanceYourCalm));
}

TEST_F(Http2AbuseTest, A_peer_that_never_reads_is_closed_when_too_much_waits_for_it) {
  options_.max_queued_bytes = 4 << 20;
  start();
  RawHttp2 client(port(), setting(4, 0), 4096);  // no window, no reading
  for (uint32_t id = 1; id < 41; id += 2) {
    client.send_headers(id, grpc_fields(kUnaryCall), kEndHeaders);
    client.send_data(id, simple_request(1 << 20), kEndStream);
  }
  EXPECT_TRUE(eventually([&] { return server_->connections() == 0; }));
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, A_writer_that_ignores_its_queue_loses_a_peer_that_never_reads) {
  options_.max_queued_bytes = 4 << 20;
  start();
  RawHttp2 client(port(), setting(4, 0), 4096);
  client.send_headers(1, grpc_fields(kStream), kEndHeaders);
  const auto open = stream(0);
  while (open->stream->write(stream_response(100000))) {
    ASSERT_LT(open->stream->queued_bytes(), 1U << 30);
  }
  EXPECT_TRUE(eventually([&] { return open->cancelled && server_->connections() == 0; }));
}

TEST_F(Http2AbuseTest, Requests_that_never_end_are_refused_when_they_hold_too_much) {
  options_.max_queued_bytes = 1 << 20;
  start();
  RawHttp2 client(port());
  const std::string piece = simple_request(0, 200000).substr(0, 16000);
  uint32_t refused = 0;
  for (uint32_t id = 1; id < 401; id += 2) {
    client.send_headers(id, grpc_fields(kUnaryCall), kEndHeaders);
    client.send_data(id, piece);
  }
  client.send_headers(401, grpc_fields(kEmptyCall), kEndHeaders);
  client.send_data(401, grpc_frame(""), kEndStream);
  while (const auto frame = client.next()) {
    if (frame->type != kHeaders) continue;
    client.decode(*frame);
    if (frame->stream == 401) break;
    ++refused;
  }
  constexpr uint32_t kFit = (1 << 20) / 16000;
  EXPECT_GE(refused, 200 - kFit - 1);
  EXPECT_LT(refused, 200U) << "those that fit are kept";
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, More_streams_than_allowed_are_refused_to_those_who_could_not_know) {
  options_.max_concurrent_streams = 10;
  start();
  std::string requests;
  for (uint32_t id = 1; id < 31; id += 2) {
    requests += encode_frame(
        {.type = kHeaders, .flags = kEndHeaders, .stream = id, .payload = encode_fields(grpc_fields(kStream))});
  }
  RawHttp2 client(port(), {}, 0, requests);
  for (int i = 0; i < 5; ++i) {
    const auto frame = client.next_of(kRstStream);
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(error_code(*frame), 7U);  // REFUSED_STREAM: safe to try again
    EXPECT_GE(frame->stream, 21U);
  }
  // What the refused ones sent before they knew does no harm.
  client.send_data(21, stream_request("x"), kEndStream);
  stream(0)->stream->finish(Status::ok_status());
  client.send_data(1, "", kEndStream);
  EXPECT_EQ(client.read_reply(1).grpc_status(), 0);
  EXPECT_EQ(client.call(31, kEmptyCall, grpc_frame("")).grpc_status(), 0);
}

TEST_F(Http2AbuseTest, More_streams_than_allowed_end_the_connection_of_those_who_knew) {
  options_.max_concurrent_streams = 10;
  start();
  RawHttp2 client(port());
  for (uint32_t id = 1; id < 31; id += 2) client.send_headers(id, grpc_fields(kStream), kEndHeaders);
  EXPECT_EQ(goaway(client), 1);  // PROTOCOL_ERROR
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, Streams_opened_again_end_the_connection) {
  start();
  RawHttp2 client(port());
  EXPECT_EQ(client.call(1, kEmptyCall, grpc_frame("")).grpc_status(), 0);
  client.send_headers(1, grpc_fields(kEmptyCall), kEndHeaders);
  EXPECT_EQ(goaway(client), 5);  // STREAM_CLOSED
}

TEST_F(Http2AbuseTest, Random_bytes_after_the_preface_close_the_connection_and_nothing_else) {
  start();
  uint64_t state = 1;
  for (int round = 0; round < 200; ++round) {
    RawPeer peer(port());
    std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + encode_frame({.type = kSettings});
    for (int i = 0; i < 500; ++i) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      bytes += static_cast<char>(state >> 56);
    }
    peer.send(bytes);
    peer.shutdown_write();
    EXPECT_TRUE(peer.closes());
  }
  expect_others_are_served();
}

TEST_F(Http2AbuseTest, Frames_damaged_at_random_close_the_connection_and_nothing_else) {
  start();
  std::string good = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + encode_frame({.type = kSettings});
  good += encode_frame(
      {.type = kHeaders, .flags = kEndHeaders, .stream = 1, .payload = encode_fields(grpc_fields(kStream))});
  good += encode_frame({.type = kData, .stream = 1, .payload = stream_request("hello")});
  good += encode_frame({.type = kWindowUpdate, .stream = 1, .payload = big_endian_32(1000)});
  good += encode_frame({.type = kData, .flags = kEndStream, .stream = 1, .payload = stream_request("again")});
  uint64_t state = 1;
  for (size_t at = 24; at < good.size(); ++at) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 + (state >> 56) % 255));
    RawPeer peer(port());
    peer.send(bad);
    peer.shutdown_write();
    EXPECT_TRUE(peer.closes()) << at;
  }
  expect_others_are_served();
}

}  // namespace
}  // namespace kv::test
