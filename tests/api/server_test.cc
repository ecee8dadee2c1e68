// The server as a whole: addresses, threads, limits on connections, drain, keep-alive.
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <thread>

#include "api/net_fixture.h"

namespace kv::test {
namespace {

class ServerTest : public NetTest {};

TEST_F(ServerTest, Urls_that_are_none_are_refused_in_words) {
  for (const char* url : {"", "127.0.0.1:0", "http://127.0.0.1", "http://127.0.0.1:x", "http://127.0.0.1:70000",
                          "http://example.com:80", "https://127.0.0.1", "ftp://127.0.0.1:0", "http://:1x"}) {
    options_.listen_urls = {url};
    const auto server = api::Server::listen(options_, table_, {});
    ASSERT_FALSE(server.ok()) << url;
    EXPECT_EQ(server.status().code(), Code::kInvalidArgument);
    EXPECT_NE(server.status().text().find(url), std::string::npos);
  }
  options_.listen_urls = {};
  EXPECT_EQ(api::Server::listen(options_, table_, {}).status().code(), Code::kInvalidArgument);
}

TEST_F(ServerTest, An_address_in_use_is_named) {
  start();
  options_.listen_urls = {"http://127.0.0.1:" + std::to_string(port())};
  const auto second = api::Server::listen(options_, table_, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), Code::kUnavailable);
  EXPECT_NE(second.status().text().find(options_.listen_urls[0]), std::string::npos);
}

TEST_F(ServerTest, Several_addresses_are_served) {
  options_.listen_urls = {"http://127.0.0.1:0", "http://localhost:0", "http://127.0.0.1:0/"};
  start();
  ASSERT_EQ(server_->bound_ports().size(), 3U);
  for (const uint16_t bound : server_->bound_ports()) {
    RawHttp2 client(bound);
    EXPECT_EQ(client.call(1, kEmptyCall, grpc_frame("")).grpc_status(), 0);
  }
}

TEST_F(ServerTest, A_server_that_never_started_goes_away_quietly) {
  const auto server = api::Server::listen(options_, table_, routes_);
  ASSERT_TRUE(server.ok());
}

TEST_F(ServerTest, Many_clients_on_several_io_threads_are_all_answered) {
  options_.io_threads = 3;
  start();
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 12; ++i) {
    clients.emplace_back([&] {
      RawHttp2 client(port());
      for (uint32_t n = 0; n < 50; ++n) {
        if (client.call(2 * n + 1, n % 2 == 0 ? kEmptyCall : kUnaryCall, grpc_frame("")).grpc_status() == 0) ++good;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 600);
}

TEST_F(ServerTest, Connections_above_the_limit_are_closed_and_room_is_found_again) {
  options_.max_connections = 2;
  start();
  RawHttp2 first(port());
  auto second = std::make_unique<RawHttp2>(port());
  EXPECT_EQ(first.call(1, kEmptyCall, grpc_frame("")).grpc_status(), 0);
  EXPECT_EQ(second->call(1, kEmptyCall, grpc_frame("")).grpc_status(), 0);
  EXPECT_EQ(server_->connections(), 2U);
  RawPeer third(port());
  EXPECT_TRUE(third.closes());
  second.reset();
  EXPECT_TRUE(eventually([&] { return server_->connections() == 1; }));
  RawHttp2 fourth(port());
  EXPECT_EQ(fourth.call(1, kEmptyCall, grpc_frame("")).grpc_status(), 0);
}

TEST_F(ServerTest, Drain_says_goodbye_twice_and_lets_calls_in_flight_end) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kHold), kEndHeaders);
  client.send_data(1, simple_request(0), kEndStream);
  HeldCall held = take_held();
  auto drained = std::async(std::launch::async, [&] { server_->drain(kPatienceMs); });

  const auto first = client.next_of(kGoAway);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->payload.substr(0, 8), big_endian_32(0x7fffffff) + big_endian_32(0));
  // Between the two a request that was on its way is still served.
  client.send_headers(3, grpc_fields(kHold), kEndHeaders);
  client.send_data(3, simple_request(0), kEndStream);
  HeldCall late = take_held();
  const auto ping = client.next_of(kPing);
  ASSERT_TRUE(ping.has_value());
  client.send({.type = kPing, .flags = kAck, .payload = ping->payload});
  const auto second = client.next_of(kGoAway);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->payload.substr(0, 8), big_endian_32(3) + big_endian_32(0));

  EXPECT_EQ(drained.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  held.done({}, simple_response(1));
  EXPECT_EQ(client.read_reply(1).grpc_status(), 0);
  late.done({}, simple_response(1));
  EXPECT_EQ(client.read_reply(3).grpc_status(), 0);
  EXPECT_TRUE(client.peer().closes());
  drained.get();
  EXPECT_THROW(RawPeer{port()}, std::runtime_error) << "still listening";
}

TEST_F(ServerTest, Drain_ends_after_its_grace_and_cancels_what_is_left) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, grpc_fields(kHold), kEndHeaders);
  client.send_data(1, simple_request(0), kEndStream);
  const HeldCall held = take_held();
  client.send_headers(3, grpc_fields(kStream), kEndHeaders);
  const auto open = stream(0);
  server_->drain(20);
  EXPECT_TRUE(held.call->cancelled());
  locked([&] { EXPECT_TRUE(open->cancelled); });
  EXPECT_TRUE(client.peer().closes());
}

TEST_F(ServerTest, Drain_closes_idle_connections_of_both_kinds_at_once) {
  start();
  RawHttp2 http2(port());
  EXPECT_EQ(http2.call(1, kEmptyCall, grpc_frame("")).grpc_status(), 0);
  RawPeer http1(port());
  http1.send("GET /version HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(http1.receive_until("one\n"), "");
  RawPeer silent(port());
  EXPECT_TRUE(eventually([&] { return server_->connections() == 3; }));
  auto drained = std::async(std::launch::async, [&] { server_->drain(kPatienceMs); });
  const auto ping = http2.next_of(kPing);
  ASSERT_TRUE(ping.has_value());
  http2.send({.type = kPing, .flags = kAck, .payload = ping->payload});
  EXPECT_TRUE(http2.peer().closes());
  EXPECT_TRUE(http1.closes());
  EXPECT_TRUE(silent.closes());
  EXPECT_EQ(drained.wait_for(std::chrono::seconds(5)), std::future_status::ready);
}

TEST_F(ServerTest, Clients_that_do_not_answer_pings_are_closed) {
  options_.keepalive_interval_ms = 50;
  options_.keepalive_timeout_ms = 50;
  start();
  RawHttp2 dead(port());
  EXPECT_TRUE(dead.next_of(kPing).has_value());
  EXPECT_TRUE(dead.peer().closes());

  RawHttp2 alive(port());
  for (int i = 0; i < 5; ++i) {
    const auto ping = alive.next_of(kPing);
    ASSERT_TRUE(ping.has_value()) << i;
    alive.send({.type = kPing, .flags = kAck, .payload = ping->payload});
  }
  EXPECT_EQ(alive.call(1, kEmptyCall, grpc_frame("")).grpc_status(), 0);
}

TEST_F(ServerTest, Idle_http2_connections_are_drained_after_the_idle_timeout) {
  options_.idle_timeout_ms = 100;
  start();
  RawHttp2 client(port());
  EXPECT_EQ(client.call(1, kEmptyCall, grpc_frame("")).grpc_status(), 0);
  const auto goaway = client.next_of(kGoAway);
  ASSERT_TRUE(goaway.has_value());
  EXPECT_EQ(error_code(*goaway), 0U);
}

TEST_F(ServerTest, A_client_that_takes_nothing_is_closed_after_the_stall_timeout) {
  options_.stall_timeout_ms = 100;
  start();
  RawHttp2 client(port(), setting(4, 0x7fffffff), 4096);
  client.open_window(0, 0x7fff0000);
  client.send_headers(1, grpc_fields(kUnaryCall), kEndHeaders);
  client.send_data(1, simple_request(32 << 20), kEndStream);
  EXPECT_TRUE(eventually([&] { return server_->connections() == 0; }));
}

}  // namespace
}  // namespace kv::test
