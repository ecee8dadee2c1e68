// HTTP/1.1 on the same port: routes, keep-alive, pipelining, limits; and the same routes over HTTP/2.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "api/net_fixture.h"

namespace kv::test {
namespace {

class Http1Test : public NetTest {
 protected:
  // Sends `request` on a connection of its own, with "connection: close", and returns all that comes.
  std::string ask(const std::string& request) {
    RawPeer peer(port());
    peer.send(request);
    std::string all;
    for (std::string more = peer.receive(); !more.empty(); more = peer.receive()) all += more;
    return all;
  }
  static int status(const std::string& response) {
    return response.starts_with("HTTP/1.1 ") ? std::stoi(response.substr(9, 3)) : 0;
  }
  static std::string body(const std::string& response) {
    const size_t end = response.find("\r\n\r\n");
    return end == std::string::npos ? "" : response.substr(end + 4);
  }
};

constexpr const char* kClose = "Host: h\r\nConnection: close\r\n\r\n";

TEST_F(Http1Test, A_route_answers) {
  start();
  const std::string response = ask(std::string("GET /version HTTP/1.1\r\n") + kClose);
  EXPECT_EQ(status(response), 200);
  EXPECT_EQ(body(response), "one\n");
  EXPECT_NE(response.find("\r\ncontent-length: 4\r\n"), std::string::npos);
  EXPECT_NE(response.find("\r\ndate: "), std::string::npos);
  EXPECT_NE(response.find("\r\nconnection: close\r\n"), std::string::npos);
}

TEST_F(Http1Test, Unknown_paths_are_404_and_wrong_methods_405) {
  start();
  EXPECT_EQ(status(ask(std::string("GET /none HTTP/1.1\r\n") + kClose)), 404);
  const std::string wrong = ask(std::string("POST /version HTTP/1.1\r\nContent-Length: 0\r\n") + kClose);
  EXPECT_EQ(status(wrong), 405);
  EXPECT_NE(wrong.find("\r\nallow: GET\r\n"), std::string::npos);
}

TEST_F(Http1Test, Head_has_the_headers_of_get_and_no_body) {
  start();
  const std::string response = ask(std::string("HEAD /version HTTP/1.1\r\n") + kClose);
  EXPECT_EQ(status(response), 200);
  EXPECT_NE(response.find("\r\ncontent-length: 4\r\n"), std::string::npos);
  EXPECT_EQ(body(response), "");
}

TEST_F(Http1Test, Bodies_come_whole_or_in_chunks) {
  start();
  EXPECT_EQ(body(ask(std::string("PUT /echo/a?b=c HTTP/1.1\r\nContent-Length: 5\r\n") + kClose + "hello")),
            "PUT /echo/a?b=c hello");
  EXPECT_EQ(body(ask(std::string("POST /echo/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n") + kClose +
                     "5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nTrailer: x\r\n\r\n")),
            "POST /echo/? hello, world");
}

TEST_F(Http1Test, A_request_may_come_byte_by_byte) {
  start();
  RawPeer peer(port());
  for (const char byte : std::string("PUT /echo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")) {
    ASSERT_TRUE(peer.send(std::string_view(&byte, 1)));
  }
  EXPECT_NE(peer.receive_until("PUT /echo/x? abc").find("200 OK"), std::string::npos);
}

TEST_F(Http1Test, Pipelined_requests_are_answered_in_their_order) {
  start();
  RawPeer peer(port());
  std::string requests;
  std::string expected;
  for (int i = 0; i < 50; ++i) {
    // Some are answered by another thread.
    const bool later = i % 3 == 0;
    requests += later ? "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
                      : "PUT /echo/" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    expected += later ? "later" : "PUT /echo/" + std::to_string(i) + "? x";
  }
  requests += "GET /version HTTP/1.1\r\nHost: h\r\n\r\n";
  ASSERT_TRUE(peer.send(requests));
  std::string all = peer.receive_until("one\n");
  std::string bodies;
  while (!all.empty()) {
    const size_t length = all.find("content-length: ");
    const size_t end = all.find("\r\n\r\n");
    ASSERT_NE(end, std::string::npos);
    const auto size = static_cast<size_t>(std::stoi(all.substr(length + 16)));
    bodies += all.substr(end + 4, size);
    all.erase(0, end + 4 + size);
  }
  EXPECT_EQ(bodies, expected + "one\n");
}

TEST_F(Http1Test, Http_1_0_closes_unless_asked_to_stay) {
  start();
  EXPECT_EQ(body(ask("GET /version HTTP/1.0\r\n\r\n")), "one\n");
  RawPeer peer(port());
  peer.send("GET /version HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_NE(peer.receive_until("one\n").find("connection: keep-alive"), std::string::npos);
  peer.send("GET /version HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(peer.closes());
}

TEST_F(Http1Test, One_who_expects_100_gets_it_before_the_body) {
  start();
  RawPeer peer(port());
  peer.send("PUT /echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(peer.receive_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  peer.send("abc");
  EXPECT_NE(peer.receive_until("abc").find("200 OK"), std::string::npos);
}

TEST_F(Http1Test, Bodies_above_the_limit_are_413) {
  options_.max_request_bytes = 1000;
  start();
  EXPECT_EQ(status(ask(std::string("PUT /echo/ HTTP/1.1\r\nContent-Length: 1001\r\n") + kClose)), 413);
  const std::string expecting = std::string("Expect: 100-continue\r\n") + kClose;
  EXPECT_EQ(status(ask("PUT /echo/ HTTP/1.1\r\nContent-Length: 99999999\r\n" + expecting)), 413);
  std::string chunked = std::string("PUT /echo/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n") + kClose;
  for (int i = 0; i < 20; ++i) chunked += "40\r\n" + std::string(64, 'x') + "\r\n";
  EXPECT_EQ(status(ask(chunked)), 413);
  EXPECT_EQ(
      status(ask(std::string("PUT /echo/ HTTP/1.1\r\nContent-Length: 1000\r\n") + kClose + std::string(1000, 'x'))),
      200);
}

TEST_F(Http1Test, Headers_above_the_limit_are_431) {
  options_.max_header_bytes = 2000;
  start();
  EXPECT_EQ(status(ask("GET /version HTTP/1.1\r\nX: " + std::string(3000, 'x') + "\r\n" + kClose)), 431);
  EXPECT_EQ(status(ask("GET /" + std::string(3000, 'x'))), 431) << "without an end";
  std::string many = "GET /version HTTP/1.1\r\n";
  for (int i = 0; i < 1000; ++i) many += "a: b\r\n";
  EXPECT_EQ(status(ask(many + kClose)), 431);
}

TEST_F(Http1Test, What_is_no_http_is_400_and_closed) {
  start();
  for (const char* request : {"hello\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET /version\r\n\r\n",
                              "GET /version HTTP/9.9\r\n\r\n", "GET /version HTTP/1.1\r\nbad header\r\n\r\n",
                              "GET /version HTTP/1.1\r\n\r\n", "GET /version HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                              "PUT /echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
                              "PUT /echo/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                              "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"}) {
    EXPECT_EQ(status(ask(request)), 400) << request;
  }
}

TEST_F(Http1Test, Slow_headers_and_slow_bodies_are_cut_off) {
  options_.header_timeout_ms = 50;
  options_.body_timeout_ms = 100;
  start();
  RawPeer silent(port());
  RawPeer slow(port());
  slow.send("GET /version HTTP/1.1\r\nHo");
  RawPeer half(port());
  half.send("PRI * HTTP/2.0\r\n");
  RawPeer body(port());
  body.send("PUT /echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc");
  EXPECT_TRUE(silent.closes());
  EXPECT_EQ(slow.receive_until("\r\n\r\n").substr(0, 12), "HTTP/1.1 408");
  EXPECT_TRUE(slow.closes());
  EXPECT_TRUE(half.closes());
  EXPECT_TRUE(body.closes());
}

TEST_F(Http1Test, A_request_that_trickles_in_is_cut_off_though_it_never_stops) {
  options_.header_timeout_ms = 100;
  start();
  RawPeer peer(port());
  peer.send("GET /version HTTP/1.1\r\n");
  bool closed = false;
  for (int i = 0; i < 1000 && !closed; ++i) {
    peer.send("a: b\r\n");
    closed = peer.closes(5);
  }
  EXPECT_TRUE(closed);
}

TEST_F(Http1Test, Idle_connections_are_closed_after_the_idle_timeout) {
  options_.idle_timeout_ms = 50;
  start();
  RawPeer peer(port());
  peer.send("GET /version HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(peer.receive_until("one\n"), "");
  EXPECT_TRUE(peer.closes());
}

TEST_F(Http1Test, A_client_may_close_its_half_and_still_be_answered) {
  start();
  RawPeer peer(port());
  peer.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  peer.shutdown_write();
  EXPECT_NE(peer.receive_until("later").find("200 OK"), std::string::npos);
  EXPECT_TRUE(peer.closes());
}

TEST_F(Http1Test, A_client_that_goes_away_while_its_request_is_handled_does_no_harm) {
  start();
  for (int i = 0; i < 50; ++i) {
    RawPeer peer(port());
    peer.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  EXPECT_TRUE(eventually([&] { return server_->connections() == 0; }));
  EXPECT_EQ(body(ask(std::string("GET /version HTTP/1.1\r\n") + kClose)), "one\n");
}

TEST_F(Http1Test, An_upgrade_to_h2c_is_ignored) {
  start();
  const std::string response =
      ask("GET /version HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
          "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n");
  EXPECT_EQ(status(response), 200);
}

TEST_F(Http1Test, The_routes_are_served_over_http2_too) {
  options_.max_request_bytes = 1000;
  start();
  RawHttp2 client(port());
  uint32_t id = 1;
  const auto ask2 = [&](const std::string& method, const std::string& path, const std::string& content) {
    client.send_headers(id, {{":method", method}, {":scheme", "http"}, {":path", path}, {":authority", "h"}},
                        content.empty() ? kEndHeaders | kEndStream : kEndHeaders);
    if (!content.empty()) client.send_data(id, content, kEndStream);
    id += 2;
    return client.read_reply(id - 2);
  };
  EXPECT_EQ(ask2("GET", "/version", "").body, "one\n");
  EXPECT_EQ(ask2("GET", "/later", "").body, "later");
  EXPECT_EQ(ask2("PUT", "/echo/a?b", "c").body, "PUT /echo/a?b c");
  EXPECT_EQ(ask2("PUT", "/echo/", std::string(1001, 'x')).header(":status"), "413");
  EXPECT_EQ(ask2("GET", "/none", "").header(":status"), "404");
  EXPECT_EQ(ask2("POST", "/version", "x").header(":status"), "405");
  const Reply head = ask2("HEAD", "/version", "");
  EXPECT_EQ(head.header("content-length"), "4");
  EXPECT_EQ(head.body, "");
  EXPECT_TRUE(head.ended);
}

}  // namespace
}  // namespace kv::test
