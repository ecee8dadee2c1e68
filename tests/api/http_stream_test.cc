// Plain HTTP in pieces, over HTTP/1.1 and HTTP/2: bodies that stream in, answers that stream out, clients that are
// slow or go away, and who may ask at all.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "api/net_fixture.h"

namespace kv::test {
namespace {

using api::HttpExchange;

// What the handler of /stream has seen. Guarded by the fixture's lock.
struct Seen {
  std::shared_ptr<HttpExchange> exchange;
  std::string body;
  bool body_ended = false;
  bool cancelled = false;
  bool closed = false;
  int due = 0;
};

class HttpStreamTest : public NetTest {
 protected:
  HttpStreamTest() {
    routes_.push_back({.method = "", .path = "/stream", .stream = [this](std::shared_ptr<HttpExchange> exchange) {
                         const auto seen = std::make_shared<Seen>();
                         exchange->on_body = [this, seen](std::string_view piece) {
                           locked([&] { seen->body += piece; });
                           if (seen->body.ends_with("pause")) seen->exchange->pause_reading();
                         };
                         exchange->on_body_end = [this, seen] { locked([&] { seen->body_ended = true; }); };
                         exchange->on_cancel = [this, seen] { locked([&] { seen->cancelled = true; }); };
                         exchange->on_closed = [this, seen] { locked([&] { seen->closed = true; }); };
                         if (alarm_ms_ > 0) {
                           exchange->call_after(alarm_ms_, [this, seen] { locked([&] { ++seen->due; }); });
                         }
                         locked([&] {
                           seen->exchange = std::move(exchange);
                           seen_.push_back(seen);
                         });
                       }});
  }
  ~HttpStreamTest() override {
    locked([&] {
      for (const auto& seen : seen_) seen->exchange = nullptr;
    });
  }

  std::shared_ptr<Seen> seen(size_t n = 0) {
    EXPECT_TRUE(eventually([&] { return n < seen_.size(); }));
    std::shared_ptr<Seen> out = std::make_shared<Seen>();
    locked([&] {
      if (n < seen_.size()) out = seen_[n];
    });
    return out;
  }
  std::shared_ptr<HttpExchange> exchange(size_t n = 0) { return seen(n)->exchange; }
  bool sees(const std::shared_ptr<Seen>& what, const std::function<bool(const Seen&)>& condition) {
    return eventually([&] { return condition(*what); });
  }

  int64_t alarm_ms_ = 0;

 private:
  std::vector<std::shared_ptr<Seen>> seen_;
};

constexpr const char* kPost = "POST /stream HTTP/1.1\r\nHost: h\r\n";

// The content of a chunked body, as far as it has come.
std::string unchunked(std::string_view response) {
  std::string out;
  size_t at = response.find("\r\n\r\n");
  if (at == std::string_view::npos) return out;
  at += 4;
  while (at < response.size()) {
    const size_t size = std::stoul(std::string(response.substr(at)), nullptr, 16);
    at = response.find("\r\n", at) + 2;
    out += response.substr(at, size);
    at += size + 2;
  }
  return out;
}

Fields post_fields(const std::string& path = "/stream") {
  return {{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "h"}};
}

TEST_F(HttpStreamTest, An_answer_goes_out_in_chunks_as_it_is_written_and_the_connection_stays) {
  start();
  RawPeer peer(port());
  peer.send(std::string(kPost) + "Content-Length: 0\r\n\r\n");
  const auto out = exchange();
  ASSERT_TRUE(out->start({.status = 201, .content_type = "a/b", .headers = {{"x", "y"}}, .body = "one\n"}));
  std::string all = peer.receive_until("one\n\r\n");
  EXPECT_TRUE(all.starts_with("HTTP/1.1 201 Created\r\n")) << all;
  EXPECT_NE(all.find("\r\ncontent-type: a/b\r\n"), std::string::npos);
  EXPECT_NE(all.find("\r\ntransfer-encoding: chunked\r\n"), std::string::npos);
  EXPECT_NE(all.find("\r\nx: y\r\n"), std::string::npos);
  EXPECT_EQ(all.find("content-length"), std::string::npos);
  EXPECT_TRUE(out->write("two\n"));
  all += peer.receive_until("two\n\r\n");
  out->finish();
  EXPECT_FALSE(out->write("three"));
  all += peer.receive_until("0\r\n\r\n");
  EXPECT_EQ(unchunked(all), "one\ntwo\n");
  EXPECT_TRUE(sees(seen(), [](const Seen& s) { return s.closed && !s.cancelled; }));
  peer.send("GET /version HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(peer.receive_until("one\n").find("200 OK"), std::string::npos);
}

TEST_F(HttpStreamTest, A_client_of_http_1_0_reads_until_the_connection_closes) {
  start();
  RawPeer peer(port());
  peer.send("POST /stream HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
  const auto out = exchange();
  out->start({.body = "one"});
  out->write("two");
  out->finish();
  const std::string all = peer.receive_until("onetwo");
  EXPECT_NE(all.find("\r\n\r\nonetwo"), std::string::npos) << all;
  EXPECT_EQ(all.find("chunked"), std::string::npos);
  EXPECT_TRUE(peer.closes());
}

TEST_F(HttpStreamTest, A_body_comes_in_pieces_while_the_answer_goes_out) {
  start();
  RawPeer peer(port());
  peer.send(std::string(kPost) + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  const auto what = seen();
  ASSERT_TRUE(sees(what, [](const Seen& s) { return s.body == "abc"; }));
  what->exchange->start({.body = "answer"});
  EXPECT_NE(peer.receive_until("answer\r\n"), "");
  peer.send("3\r\ndef\r\n");
  ASSERT_TRUE(sees(what, [](const Seen& s) { return s.body == "abcdef" && !s.body_ended; }));
  peer.send("0\r\n\r\n");
  ASSERT_TRUE(sees(what, [](const Seen& s) { return s.body_ended; }));
  what->exchange->finish();
  EXPECT_NE(peer.receive_until("0\r\n\r\n"), "");
}

TEST_F(HttpStreamTest, The_same_over_http2) {
  start();
  RawHttp2 client(port());
  client.send_headers(1, post_fields(), kEndHeaders);
  client.send_data(1, "abc");
  const auto what = seen();
  ASSERT_TRUE(sees(what, [](const Seen& s) { return s.body == "abc"; }));
  what->exchange->start({.status = 201, .body = "one "});
  what->exchange->write("two");
  client.send_data(1, "def", kEndStream);
  ASSERT_TRUE(sees(what, [](const Seen& s) { return s.body == "abcdef" && s.body_ended; }));
  what->exchange->finish();
  const Reply reply = client.read_reply(1);
  EXPECT_EQ(reply.header(":status"), "201");
  EXPECT_EQ(reply.header("content-length"), "");
  EXPECT_EQ(reply.body, "one two");
  EXPECT_TRUE(reply.ended);
  EXPECT_TRUE(sees(what, [](const Seen& s) { return s.closed && !s.cancelled; }));
}

TEST_F(HttpStreamTest, A_handler_that_pauses_gets_nothing_more_until_it_resumes) {
  start();
  RawPeer one(port());
  one.send(std::string(kPost) + "Transfer-Encoding: chunked\r\n\r\n5\r\npause\r\n");
  RawHttp2 two(port());
  ASSERT_TRUE(sees(seen(0), [](const Seen& s) { return s.body == "pause"; }));
  two.send_headers(1, post_fields(), kEndHeaders);
  two.send_data(1, "pause");
  ASSERT_TRUE(sees(seen(1), [](const Seen& s) { return s.body == "pause"; }));
  one.send("4\r\nmore\r\n0\r\n\r\n");
  two.send_data(1, "more", kEndStream);
  two.send_ping();
  ASSERT_TRUE(two.next_of(kPing)) << "so it has read the rest";
  for (const size_t n : {0, 1}) {
    EXPECT_TRUE(sees(seen(n), [](const Seen& s) { return s.body == "pause" && !s.body_ended; }));
    exchange(n)->resume_reading();
    EXPECT_TRUE(sees(seen(n), [](const Seen& s) { return s.body == "pausemore" && s.body_ended; }));
  }
}

TEST_F(HttpStreamTest, A_handler_learns_at_once_that_its_client_is_gone) {
  start();
  {
    RawPeer gone(port());
    gone.send(std::string(kPost) + "Content-Length: 0\r\n\r\n");
    exchange(0)->start({.body = "x"});
    gone.receive_until("x");
  }
  EXPECT_TRUE(sees(seen(0), [](const Seen& s) { return s.cancelled && s.closed; }));
  EXPECT_FALSE(exchange(0)->write("y"));

  RawHttp2 client(port());
  client.send_headers(1, post_fields(), kEndHeaders | kEndStream);
  exchange(1)->start({.body = "x"});
  client.reset(1);
  EXPECT_TRUE(sees(seen(1), [](const Seen& s) { return s.cancelled && s.closed; }));
  EXPECT_FALSE(exchange(1)->write("y"));
}

TEST_F(HttpStreamTest, An_answer_that_is_broken_off_does_not_look_complete) {
  start();
  RawPeer peer(port());
  peer.send(std::string(kPost) + "Content-Length: 0\r\n\r\n");
  exchange(0)->start({.body = "half"});
  EXPECT_NE(peer.receive_until("half\r\n"), "");
  exchange(0)->break_off();
  std::string rest;
  for (std::string more = peer.receive(); !more.empty(); more = peer.receive()) rest += more;
  EXPECT_EQ(rest.find("0\r\n\r\n"), std::string::npos);

  RawHttp2 client(port());
  client.send_headers(1, post_fields(), kEndHeaders | kEndStream);
  exchange(1)->start({.body = "half"});
  exchange(1)->break_off();
  EXPECT_TRUE(client.read_reply(1).reset);
}

// Writes whenever less than `low` bytes wait, and remembers the most that ever did.
struct Pump : std::enable_shared_from_this<Pump> {
  void run() {
    if (!out->write("")) return;  // it is over
    while (left > 0 && out->queued_bytes() < low) {
      if (!out->write(std::string(piece, 'x'))) return;
      left -= std::min(left, piece);
      most = std::max(most.load(), out->queued_bytes());
    }
    if (left == 0) return out->finish();
    out->on_drained(low, [self = shared_from_this()] { self->run(); });
  }
  std::shared_ptr<HttpExchange> out;
  size_t left = 0;
  size_t piece = 64 << 10;
  size_t low = 256 << 10;
  std::atomic<size_t> most{0};
};

TEST_F(HttpStreamTest, A_slow_reader_holds_up_the_writer_and_no_more_than_its_share_waits) {
  start();
  constexpr size_t kTotal = 32 << 20;
  RawPeer peer(port(), 32 << 10);
  peer.send(std::string(kPost) + "Content-Length: 0\r\n\r\n");
  const auto pump = std::make_shared<Pump>();
  pump->out = exchange();
  pump->left = kTotal;
  pump->out->start({});
  pump->run();
  size_t got = 0;
  for (std::string more = peer.receive(); !more.empty(); more = peer.receive()) {
    got += more.size();
    if (more.ends_with("\r\n0\r\n\r\n")) break;
  }
  EXPECT_GE(got, kTotal);
  EXPECT_LE(pump->most, pump->low + pump->piece);
  EXPECT_GT(pump->most, pump->piece);
}

TEST_F(HttpStreamTest, A_reader_is_closed_when_too_much_waits_for_it) {
  options_.max_queued_bytes = 1 << 20;
  start();
  RawPeer peer(port(), 4096);
  peer.send(std::string(kPost) + "Content-Length: 0\r\n\r\n");
  const auto out = exchange();
  out->start({});
  while (out->write(std::string(64 << 10, 'x'))) {
  }
  EXPECT_TRUE(sees(seen(), [](const Seen& s) { return s.cancelled; }));
}

TEST_F(HttpStreamTest, A_reader_that_takes_nothing_is_closed_though_little_waits) {
  options_.stall_timeout_ms = 100;
  start();
  RawPeer peer(port(), 4096);
  peer.send(std::string(kPost) + "Content-Length: 0\r\n\r\n");
  const auto pump = std::make_shared<Pump>();
  pump->out = exchange();
  pump->left = 1 << 30;
  pump->out->start({});
  pump->run();
  EXPECT_TRUE(sees(seen(), [](const Seen& s) { return s.cancelled; }));
}

TEST_F(HttpStreamTest, A_body_that_does_not_come_is_408_unless_the_answer_has_begun) {
  options_.body_timeout_ms = 60;
  start();
  RawPeer late(port());
  late.send(std::string(kPost) + "Content-Length: 3\r\n\r\n");
  EXPECT_NE(late.receive_until("\r\n\r\n").find("408"), std::string::npos);
  EXPECT_TRUE(sees(seen(0), [](const Seen& s) { return s.closed && s.cancelled; }));

  RawHttp2 client(port());
  client.send_headers(1, post_fields(), kEndHeaders);
  EXPECT_EQ(client.read_reply(1).header(":status"), "408");

  alarm_ms_ = 200;  // by then the time for the body is over
  RawPeer begun(port());
  begun.send(std::string(kPost) + "Content-Length: 3\r\n\r\n");
  exchange(2)->start({.body = "x"});
  EXPECT_TRUE(sees(seen(2), [](const Seen& s) { return s.due == 1; }));
  EXPECT_TRUE(sees(seen(2), [](const Seen& s) { return !s.cancelled; }));
  begun.send("abc");
  EXPECT_TRUE(sees(seen(2), [](const Seen& s) { return s.body == "abc" && s.body_ended; }));
}

TEST_F(HttpStreamTest, A_drain_lets_an_answer_end_and_says_that_it_was_the_last) {
  start();
  RawPeer peer(port());
  peer.send(std::string(kPost) + "Content-Length: 0\r\n\r\n");
  const auto out = exchange();
  std::thread drain([&] { server_->drain(kPatienceMs); });
  EXPECT_TRUE(eventually([&] {
    try {
      RawPeer refused(port());
      return false;
    } catch (const std::exception&) {
      return true;
    }
  }));
  out->start({.body = "last"});
  out->finish();
  EXPECT_NE(peer.receive_until("0\r\n\r\n").find("last"), std::string::npos);
  EXPECT_TRUE(peer.closes());
  drain.join();
}

TEST_F(HttpStreamTest, A_drain_cancels_what_does_not_end) {
  start();
  RawPeer peer(port());
  peer.send(std::string(kPost) + "Content-Length: 0\r\n\r\n");
  exchange()->start({.body = "x"});
  server_->drain(1);
  EXPECT_TRUE(sees(seen(), [](const Seen& s) { return s.cancelled && s.closed; }));
}

TEST_F(HttpStreamTest, Only_names_on_the_whitelist_are_served) {
  options_.host_whitelist = {"kv.example", "::1"};
  start();
  const auto ask = [&](const std::string& host) {
    RawPeer peer(port());
    peer.send("GET /version HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    return peer.receive_until("\n\n").substr(9, 3);
  };
  EXPECT_EQ(ask("kv.example\r\nConnection: close"), "200");
  EXPECT_EQ(ask("kv.example:2379\r\nConnection: close"), "200");
  EXPECT_EQ(ask("[::1]:2379\r\nConnection: close"), "200");
  EXPECT_EQ(ask("evil.example\r\nConnection: close"), "421");
  EXPECT_EQ(ask("kv.example.evil\r\nConnection: close"), "421");
  EXPECT_EQ(ask("\r\nConnection: close"), "421");
  RawHttp2 client(port());
  client.send_headers(1, {{":method", "GET"}, {":scheme", "http"}, {":path", "/version"}, {":authority", "evil:1"}},
                      kEndHeaders | kEndStream);
  EXPECT_EQ(client.read_reply(1).header(":status"), "421");
  EXPECT_EQ(client.call(3, kEmptyCall, grpc_frame("")).grpc_status(), 0) << "gRPC is no page's";
}

TEST_F(HttpStreamTest, Web_pages_of_allowed_origins_may_read_the_answers) {
  options_.cors = {"http://a.example"};
  start();
  const auto ask = [&](const std::string& method, const std::string& origin) {
    RawPeer peer(port());
    peer.send(method + " /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\nOrigin: " + origin + "\r\n\r\n");
    return peer.receive_until("\r\n\r\n");
  };
  const std::string allowed = ask("GET", "http://a.example");
  EXPECT_NE(allowed.find("\r\naccess-control-allow-origin: http://a.example\r\n"), std::string::npos);
  EXPECT_NE(allowed.find("\r\naccess-control-allow-headers: accept, content-type, authorization\r\n"),
            std::string::npos);
  EXPECT_EQ(ask("GET", "http://b.example").find("access-control"), std::string::npos);
  const std::string preflight = ask("OPTIONS", "http://a.example");
  EXPECT_EQ(preflight.substr(9, 3), "200");
  EXPECT_NE(preflight.find("\r\naccess-control-allow-methods: POST, GET, OPTIONS, PUT, DELETE\r\n"), std::string::npos);
  EXPECT_NE(preflight.find("\r\ncontent-length: 0\r\n"), std::string::npos);
}

}  // namespace
}  // namespace kv::test
