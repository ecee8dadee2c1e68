// TLS on the client port: who gets in, what is spoken inside, and what those do that only want to hold a connection.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "api/json/gateway.h"
#include "api/net_fixture.h"
#include "api/tls_peer.h"
#include "etcdserverpb/rpc.pb.h"
#include "tls/authority.h"
#include "tls/context.h"

namespace kv::test {
namespace {

constexpr const char* kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

class TlsTest : public NetTest {
 protected:
  TlsTest() {
    options_.listen_urls = {"https://127.0.0.1:0"};
    tls_.cert_file = server_files_.cert_file;
    tls_.key_file = server_files_.key_file;
    tls_.protocols = api::kTlsProtocols;
  }
  void ask_for_certificates() {
    tls_.trusted_ca_file = ca_.ca_file();
    tls_.client_cert_auth = true;
  }
  void start_tls() {
    auto made = tls::Context::create(tls_, "client");
    ASSERT_TRUE(made.ok()) << made.status().to_string();
    options_.tls = *made;
    start();
  }
  TlsPeerOptions as(const IssuedFiles& files, std::vector<std::string> protocols = {}) const {
    return {.cert_file = files.cert_file, .key_file = files.key_file, .protocols = std::move(protocols)};
  }
  static std::string get(const std::string& path, const std::string& host = "h") {
    return "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n";
  }
  std::string version(const TlsPeerOptions& options = {}) { return TlsPeer(port(), options).ask(get("/version")); }
  bool serves(const TlsPeerOptions& options = {}) { return version(options).find("one\n") != std::string::npos; }

  ScratchDirectory directory_;
  Authority ca_{directory_.path(), "ca"};
  IssuedFiles server_files_ = ca_.issue("server");
  IssuedFiles alice_ = ca_.issue("alice", {.cn = "alice", .hosts = {}});
  tls::Options tls_;
};

TEST_F(TlsTest, ALPN_chooses_and_without_it_the_first_bytes_do) {
  start_tls();
  TlsPeer http1(port(), {.protocols = {"http/1.1"}});
  EXPECT_EQ(http1.protocol(), "http/1.1");
  EXPECT_NE(http1.ask(get("/version")).find("HTTP/1.1 200 OK"), std::string::npos);

  const std::string opening = kPreface + encode_frame({.type = kSettings});
  const std::string settings_frame{"\x04\x00\x00\x00\x00", 5};  // its type, flags and stream
  TlsPeer http2(port(), {.protocols = {"h2", "http/1.1"}});
  EXPECT_EQ(http2.protocol(), "h2");
  ASSERT_TRUE(http2.send(opening));
  EXPECT_NE(http2.receive_until(settings_frame).find(settings_frame), std::string::npos);

  TlsPeer silent_http2(port());
  EXPECT_EQ(silent_http2.protocol(), "");
  ASSERT_TRUE(silent_http2.send(opening));
  EXPECT_NE(silent_http2.receive_until(settings_frame).find(settings_frame), std::string::npos);
  EXPECT_TRUE(serves());

  // Who agreed to one and speaks the other is answered in what was agreed.
  TlsPeer liar(port(), {.protocols = {"http/1.1"}});
  EXPECT_NE(liar.ask(opening).find("HTTP/1.1 400"), std::string::npos);
}

TEST_F(TlsTest, A_certificate_names_the_user_of_gRPC_calls) {
  ask_for_certificates();
  start_tls();
  TlsPeer client(port(), as(alice_, {"h2"}));
  ASSERT_TRUE(client.send(
      kPreface + encode_frame({.type = kSettings}) +
      encode_frame(
          {.type = kHeaders, .flags = kEndHeaders, .stream = 1, .payload = encode_fields(grpc_fields(kHold))}) +
      encode_frame({.type = kData, .flags = kEndStream, .stream = 1, .payload = simple_request(1)})));
  const HeldCall held = take_held();
  ASSERT_NE(held.call, nullptr);
  EXPECT_EQ(held.call->certificate_user, "alice");
}

// CVE-2018-16886.
TEST_F(TlsTest, A_certificate_names_nobody_by_the_JSON_gateway) {
  ask_for_certificates();
  std::vector<std::optional<std::string>> users;
  table_.add(api::unary_row<etcdserverpb::RangeRequest, etcdserverpb::RangeResponse>(
      "/etcdserverpb.KV/Range", api::Right::kKeys,
      [&](CallPtr call, std::unique_ptr<etcdserverpb::RangeRequest>, Done<etcdserverpb::RangeResponse> done) {
        locked([&] { users.push_back(call->certificate_user); });
        done({}, {});
      }));
  for (auto& route : api::gateway_routes(table_, {})) routes_.push_back(std::move(route));
  start_tls();
  const std::string request =
      "POST /v3/kv/range HTTP/1.1\r\nHost: h\r\nGrpc-Metadata-Username: root\r\nConnection: close\r\n"
      "Content-Length: 14\r\n\r\n{\"key\":\"Zm9v\"}";
  EXPECT_NE(TlsPeer(port(), as(alice_)).ask(request).find("200 OK"), std::string::npos);
  // The same over HTTP/2.
  TlsPeer http2(port(), as(alice_, {"h2"}));
  ASSERT_TRUE(
      http2.send(kPreface + encode_frame({.type = kSettings}) +
                 encode_frame({.type = kHeaders,
                               .flags = kEndHeaders,
                               .stream = 1,
                               .payload = encode_fields({{":method", "POST"},
                                                         {":scheme", "https"},
                                                         {":path", "/v3/kv/range"},
                                                         {":authority", "h"},
                                                         {"content-type", "application/json"}})}) +
                 encode_frame({.type = kData, .flags = kEndStream, .stream = 1, .payload = "{\"key\":\"Zm9v\"}"})));
  EXPECT_TRUE(eventually([&] { return users.size() == 2; }));
  locked([&] { EXPECT_EQ(users, std::vector<std::optional<std::string>>(2)); });
}

TEST_F(TlsTest, Who_has_no_good_certificate_is_refused_where_one_is_asked_for) {
  ask_for_certificates();
  const auto gone = ca_.issue("gone", {.cn = "bob"});
  tls_.crl_file = ca_.revoke("crl.pem", {gone.serial});
  start_tls();
  Authority other(directory_.path(), "other");
  EXPECT_EQ(version(), "");
  EXPECT_EQ(version(as(other.issue("foreign", {.cn = "alice"}))), "");
  EXPECT_EQ(version(as(gone)), "");
  EXPECT_EQ(version(as(ca_.issue("late", {.begins_in_s = -7200, .ends_in_s = -60}))), "");
  EXPECT_TRUE(serves(as(alice_)));
}

TEST_F(TlsTest, Who_is_refused_is_told_why) {
  ask_for_certificates();
  const auto gone = ca_.issue("gone", {.cn = "bob"});
  tls_.crl_file = ca_.revoke("crl.pem", {gone.serial});
  start_tls();
  // A request comes with the certificate, before it is looked at: what the server says must not be lost to a reset.
  for (const auto& [who, why] : {std::pair{TlsPeerOptions{}, "tlsv13 alert certificate required"},
                                 std::pair{as(gone), "sslv3 alert certificate revoked"}}) {
    TlsPeer client(port(), who);
    ASSERT_TRUE(client.send(get("/version") + std::string(50'000, 'x')));
    EXPECT_EQ(client.receive(), "");
    EXPECT_EQ(client.failure(), why);
  }
}

// GHSA-3wh4-j44w-pg92: the list counts at every address.
TEST_F(TlsTest, A_revoked_certificate_is_refused_on_every_listener) {
  ask_for_certificates();
  const auto gone = ca_.issue("gone", {.cn = "bob"});
  tls_.crl_file = ca_.revoke("crl.pem", {gone.serial});
  options_.listen_urls = {"https://127.0.0.1:0", "https://127.0.0.1:0"};
  start_tls();
  for (const uint16_t bound : server_->bound_ports()) {
    EXPECT_EQ(TlsPeer(bound, as(gone)).ask(get("/version")), "");
    EXPECT_NE(TlsPeer(bound, as(alice_)).ask(get("/version")).find("one\n"), std::string::npos);
  }
}

TEST_F(TlsTest, Both_schemes_are_served_side_by_side) {
  options_.listen_urls = {"https://127.0.0.1:0", "http://127.0.0.1:0"};
  start_tls();
  EXPECT_TRUE(serves());
  RawPeer plain(server_->bound_ports().at(1));
  ASSERT_TRUE(plain.send(get("/version")));
  EXPECT_NE(plain.receive_until("one\n").find("200 OK"), std::string::npos);
  // TLS where there is none is closed, or refused as bad HTTP, and does no harm.
  TlsPeer lost(server_->bound_ports().at(1));
  EXPECT_FALSE(lost.shaken());
}

TEST_F(TlsTest, Https_without_a_certificate_is_refused_in_words) {
  const auto server = api::Server::listen(options_, table_, {});
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.status().text(), "listen URL \"https://127.0.0.1:0\": https needs a certificate and its key");
}

TEST_F(TlsTest, A_plain_HTTP_client_is_told_so) {
  start_tls();
  for (const std::string method : {"GET", "POST", "DELETE"}) {
    RawPeer peer(port());
    // More than the server reads before it answers: what it says must not be overtaken by a reset.
    ASSERT_TRUE(peer.send(method + " /version HTTP/1.1\r\nHost: h\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"));
    const std::string answer = peer.receive_until("server.\n");
    EXPECT_EQ(answer, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n") << method;
    peer.shutdown_write();
    EXPECT_TRUE(peer.closes());
  }
}

TEST_F(TlsTest, Plain_HTTP_2_and_noise_are_closed) {
  start_tls();
  for (const std::string& bytes : {std::string(kPreface) + encode_frame({.type = kSettings}), std::string(5000, '\x80'),
                                   std::string("\x16\x03\x01\xff\xff", 5) + std::string(70'000, 'x'),
                                   std::string("\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9) + std::string(30'000, 'y')}) {
    RawPeer peer(port());
    peer.send(bytes);
    EXPECT_TRUE(peer.closes());
  }
  EXPECT_TRUE(serves());
}

// GHSA-6vch-q96h-7gc3.
TEST_F(TlsTest, A_handshake_that_does_not_end_is_closed_in_time) {
  options_.header_timeout_ms = 300;
  start_tls();
  RawPeer silent(port());
  RawPeer half(port());
  ASSERT_TRUE(half.send(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)));
  TlsPeer shaken_and_silent(port());
  ASSERT_TRUE(shaken_and_silent.shaken());
  EXPECT_TRUE(silent.closes());
  EXPECT_TRUE(half.closes());
  EXPECT_EQ(shaken_and_silent.receive(), "");
  EXPECT_TRUE(eventually([&] { return server_->connections() == 0; }));
}

TEST_F(TlsTest, A_handshake_that_trickles_is_closed_in_time) {
  options_.header_timeout_ms = 300;
  start_tls();
  RawPeer peer(port());
  const std::string record = std::string("\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03", 11) + std::string(16000, '\0');
  const auto began = std::chrono::steady_clock::now();
  size_t sent = 0;
  while (sent < record.size() && peer.send(record.substr(sent, 1))) {
    ++sent;
    if (!peer.receive(5).empty()) break;  // an alert: also an end
    if (std::chrono::steady_clock::now() - began > std::chrono::milliseconds(kPatienceMs)) break;
  }
  EXPECT_LT(sent, record.size());
  EXPECT_TRUE(peer.closes());
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(kPatienceMs));
}

TEST_F(TlsTest, Half_open_connections_do_not_keep_others_out) {
  options_.max_handshakes = 8;
  start_tls();
  std::vector<std::unique_ptr<RawPeer>> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(std::make_unique<RawPeer>(port()));
  // The oldest go, the newest stay, and who shakes hands gets in.
  EXPECT_TRUE(silent.front()->closes());
  EXPECT_TRUE(serves());
  EXPECT_TRUE(eventually([&] { return server_->connections() <= 9; }));
  EXPECT_GE(server_->connections(), 1u);
}

TEST_F(TlsTest, Large_bodies_pass_both_ways_and_a_slow_reader_stops_nobody) {
  options_.max_request_bytes = 16 << 20;
  start_tls();
  const std::string body(8 << 20, 'b');
  TlsPeer slow(port(), {.receive_buffer = 4096});
  ASSERT_TRUE(slow.send("PUT /echo/slow HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: " +
                        std::to_string(body.size()) + "\r\n\r\n"));
  ASSERT_TRUE(slow.send(body));
  EXPECT_TRUE(serves());
  std::string all;
  for (std::string more = slow.receive(); !more.empty(); more = slow.receive()) all += more;
  EXPECT_EQ(all.size() - all.find("\r\n\r\n") - 4, body.size() + std::string("PUT /echo/slow? ").size());
}

// CVE-2018-5702: as in etcd, the Host header is looked at where there is no TLS.
TEST_F(TlsTest, The_Host_header_is_looked_at_by_plain_HTTP_only) {
  options_.host_whitelist = {"good.example"};
  options_.listen_urls = {"https://127.0.0.1:0", "http://127.0.0.1:0"};
  start_tls();
  EXPECT_NE(TlsPeer(port()).ask(get("/version", "evil.example")).find("200 OK"), std::string::npos);
  for (const auto& [host, status] : {std::pair{"evil.example", "421"}, {"good.example", "200"}}) {
    RawPeer plain(server_->bound_ports().at(1));
    ASSERT_TRUE(plain.send(get("/version", host)));
    EXPECT_NE(plain.receive_until("\r\n\r\n").find(std::string("HTTP/1.1 ") + status), std::string::npos) << host;
  }
}

TEST_F(TlsTest, A_drain_ends_connections_and_handshakes) {
  start_tls();
  RawPeer half(port());
  TlsPeer idle(port(), {.protocols = {"http/1.1"}});
  ASSERT_TRUE(idle.send("GET /version HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_NE(idle.receive_until("one\n").find("200 OK"), std::string::npos);
  ASSERT_TRUE(eventually([&] { return server_->connections() == 2; }));
  server_->drain(kPatienceMs);
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_TRUE(half.closes());
  EXPECT_EQ(idle.receive(), "");
}

}  // namespace
}  // namespace kv::test
