// Peer streams by TLS: who is let in, who is dialled, and what strangers do to the port.
#include <gtest/gtest.h>

#include "raft/transport_fixture.h"
#include "tls/authority.h"
#include "tls/context.h"

namespace kv::raft {
namespace {

using test::Authority;
using test::IssuedFiles;

class TransportTls : public ::testing::Test {
 protected:
  tls::Options with(const IssuedFiles& files) const {
    tls::Options options;
    options.cert_file = files.cert_file;
    options.key_file = files.key_file;
    options.trusted_ca_file = ca_.ca_file();
    options.client_cert_auth = true;
    return options;
  }
  static std::shared_ptr<tls::Context> context(const tls::Options& options) {
    auto made = tls::Context::create(options, "peer");
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    return made.ok() ? *made : nullptr;
  }
  static Transport::Options options(uint64_t id, const tls::Options& tls) {
    Transport::Options o = Member::options(id);
    o.listen_urls = {"https://127.0.0.1:0"};
    o.tls = context(tls);
    return o;
  }
  Transport::Options good(uint64_t id) { return options(id, with(node_)); }
  static std::string url(const Member& member) { return "https://127.0.0.1:" + std::to_string(member.port()); }
  static void introduce(Member& one, Member& other) {
    one->add_peer({other.id(), {url(other)}});
    other->add_peer({one.id(), {url(one)}});
  }
  // The dialler has been refused often enough to say that it stays out.
  static bool stays_out(Member& dialler, Member& dialled) {
    return eventually([&] { return dialler.unreachable_calls() > 0; }) && !dialler.stats_of(dialled.id()).connected &&
           dialled.received().empty();
  }

  test::ScratchDirectory directory_;
  Authority ca_{directory_.path(), "ca"};
  IssuedFiles node_ = ca_.issue("node", {.cn = "node"});
};

// Says things to a port by TLS, blocking.
class TlsStranger {
 public:
  TlsStranger(tls::Context& context, uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) ADD_FAILURE() << "connect";
    stream_ = context.dial(fd_, "127.0.0.1");
  }
  ~TlsStranger() {
    stream_.reset();
    ::close(fd_);
  }
  bool shake_hands() { return stream_->handshake().state == tls::Outcome::State::kOk; }
  bool say(std::string_view bytes) {
    return stream_->write(bytes.data(), bytes.size()).state == tls::Outcome::State::kOk;
  }
  // All that is said until the end.
  std::string hear() {
    std::string all;
    while (true) {
      pollfd waiting{fd_, POLLIN, 0};
      if (!stream_->has_pending() && ::poll(&waiting, 1, 20000) <= 0) return all + " and then nothing";
      char buffer[64];
      const auto got = stream_->read(buffer, sizeof buffer);
      if (got.bytes == 0) return all;
      all.append(buffer, got.bytes);
    }
  }

 private:
  int fd_;
  std::unique_ptr<tls::Stream> stream_;
};

TEST_F(TransportTls, Messages_of_all_sizes_arrive_in_order) {
  Member one(good(1));
  Member two(good(2));
  introduce(one, two);
  ASSERT_TRUE(one.wait_connected(two.id()));
  ASSERT_TRUE(two.wait_connected(one.id()));
  std::vector<Message> sent;
  for (size_t i = 0; i < 300; ++i) {
    sent.push_back(i % 10 == 0 ? append_of(one.id(), two.id(), Index(i), i * 1000) : heartbeat(one.id(), two.id(), i));
    one->send({sent.back()});
  }
  ASSERT_TRUE(two.wait_received(sent.size()));
  EXPECT_EQ(two.received(), sent);
  two->send({heartbeat(two.id(), one.id(), 7)});
  EXPECT_TRUE(one.wait_received(1));
  EXPECT_TRUE(eventually([&] { return one.stats_of(two.id()).round_trip_seconds > 0; }));
}

TEST_F(TransportTls, A_member_with_a_foreign_certificate_is_kept_out_and_the_others_go_on) {
  Authority other(directory_.path(), "other");
  Member one(good(1));
  Member two(good(2));
  Member intruder(options(3, with(other.issue("foreign", {.cn = "node"}))));
  introduce(one, two);
  introduce(one, intruder);
  EXPECT_TRUE(stays_out(intruder, one));
  // Nor is anything said to it.
  EXPECT_TRUE(eventually([&] { return one.unreachable_calls() > 0; }));
  EXPECT_FALSE(one.stats_of(intruder.id()).connected);
  ASSERT_TRUE(one.wait_connected(two.id()));
  one->send({heartbeat(one.id(), two.id(), 1)});
  EXPECT_TRUE(two.wait_received(1));
}

TEST_F(TransportTls, A_revoked_member_is_kept_out_in_both_directions) {
  const auto gone = ca_.issue("gone", {.cn = "node"});
  tls::Options strict = with(node_);
  strict.crl_file = ca_.revoke("crl.pem", {gone.serial});
  Member one(options(1, strict));
  Member two(options(2, with(gone)));
  introduce(one, two);
  EXPECT_TRUE(stays_out(two, one));
  EXPECT_TRUE(eventually([&] { return one.unreachable_calls() > 0; }));
  EXPECT_FALSE(one.stats_of(two.id()).connected);
}

TEST_F(TransportTls, The_certificate_of_one_host_does_not_speak_as_a_member_of_another) {
  const auto elsewhere = ca_.issue("elsewhere", {.cn = "node", .hosts = {"10.9.9.9"}});
  for (const bool check : {true, false}) {
    Transport::Options o = good(1);
    o.check_dialler_names = check;
    Member one(o);
    Member two(options(2, with(elsewhere)));
    introduce(one, two);
    if (check) {
      EXPECT_TRUE(stays_out(two, one));
    } else {
      EXPECT_TRUE(two.wait_connected(one.id()));
    }
    // Whom we dial must always be who was dialled.
    EXPECT_TRUE(eventually([&] { return one.unreachable_calls() > 0; }));
    EXPECT_FALSE(one.stats_of(two.id()).connected);
  }
}

TEST_F(TransportTls, A_certificate_that_names_no_host_is_enough_to_dial_with) {
  tls::Options options_two = with(node_);
  const auto hostless = ca_.issue("hostless", {.cn = "node", .hosts = {}});
  options_two.client_cert_file = hostless.cert_file;
  options_two.client_key_file = hostless.key_file;
  Member one(good(1));
  Member two(options(2, options_two));
  introduce(one, two);
  EXPECT_TRUE(two.wait_connected(one.id()));
  EXPECT_TRUE(one.wait_connected(two.id()));
}

TEST_F(TransportTls, Only_allowed_CNs_are_let_in) {
  tls::Options strict = with(node_);
  strict.allowed_cns = {"node"};
  Member one(options(1, strict));
  Member two(options(2, strict));
  Member other(options(3, with(ca_.issue("client", {.cn = "some-client"}))));
  introduce(one, two);
  introduce(one, other);
  EXPECT_TRUE(two.wait_connected(one.id()));
  EXPECT_TRUE(stays_out(other, one));
}

TEST_F(TransportTls, Who_speaks_no_TLS_is_kept_out) {
  Member one(good(1));
  Member plain(2);
  plain->add_peer({one.id(), {"http://127.0.0.1:" + std::to_string(one.port())}});
  EXPECT_TRUE(stays_out(plain, one));
  Stranger stranger(one.port());
  EXPECT_EQ(stranger.greet(NodeId(5), one.id()), std::nullopt);
}

TEST_F(TransportTls, A_plain_member_is_not_spoken_to_by_TLS) {
  Member plain(1);
  Member two(good(2));
  two->add_peer({plain.id(), {url(plain)}});
  EXPECT_TRUE(stays_out(two, plain));
}

TEST_F(TransportTls, Https_without_a_certificate_is_refused_in_words) {
  Transport::Options o = Member::options(1);
  o.listen_urls = {"https://127.0.0.1:0"};
  const auto started = Transport::start(
      o, [](auto&&) {}, [](NodeId) {});
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.status().text(), "peer URL \"https://127.0.0.1:0\": https needs a peer certificate and its key");
  Member plain(2);
  plain->add_peer({NodeId(9), {"https://127.0.0.1:1"}});
  EXPECT_TRUE(eventually([&] { return plain.unreachable_calls() > 0; }));
}

TEST_F(TransportTls, Without_a_CA_members_are_encrypted_and_believed) {
  tls::Options open = with(node_);
  open.trusted_ca_file.clear();
  open.client_cert_auth = false;
  open.trust_anyone_dialled = true;
  Member one(options(1, open));
  Member two(options(2, open));
  introduce(one, two);
  EXPECT_TRUE(one.wait_connected(two.id()));
  EXPECT_TRUE(two.wait_connected(one.id()));
}

TEST_F(TransportTls, Handshakes_that_do_not_end_are_closed_in_time) {
  Transport::Options o = good(1);
  o.hello_timeout_ms = 200;
  Member one(o);
  Stranger silent(one.port());
  Stranger half(one.port());
  half.say(std::string_view("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
  auto member = context(with(node_));
  TlsStranger shaken(*member, one.port());
  EXPECT_TRUE(shaken.shake_hands());
  EXPECT_TRUE(silent.is_closed_by_peer());
  EXPECT_TRUE(half.is_closed_by_peer());
  EXPECT_EQ(shaken.hear(), "");
}

TEST_F(TransportTls, Half_open_connections_do_not_keep_members_out) {
  Transport::Options o = good(1);
  o.max_strangers = 4;
  Member one(o);
  std::vector<std::unique_ptr<Stranger>> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(std::make_unique<Stranger>(one.port()));
  EXPECT_TRUE(silent.front()->is_closed_by_peer());
  Member two(good(2));
  introduce(one, two);
  EXPECT_TRUE(two.wait_connected(one.id()));
}

TEST_F(TransportTls, Noise_is_closed_outside_and_inside_of_TLS) {
  Member one(good(1));
  Stranger noise(one.port());
  noise.say(std::string(3000, '\x80'));
  EXPECT_TRUE(noise.is_closed_by_peer());

  // With a certificate that is good. Blocking: each word takes the handshake it needs.
  auto member = context(with(node_));
  TlsStranger gibberish(*member, one.port());
  EXPECT_TRUE(gibberish.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_EQ(gibberish.hear(), "");
  // A hello that is longer than any may be.
  TlsStranger talker(*member, one.port());
  EXPECT_TRUE(talker.say(std::string("KVDRAFT\0", 8) + std::string(1 << 20, '\xff')));
  EXPECT_EQ(talker.hear(), "");

  Member two(good(2));
  introduce(one, two);
  EXPECT_TRUE(two.wait_connected(one.id()));
}

TEST_F(TransportTls, A_rotated_certificate_is_used_for_the_next_stream) {
  tls::Options options_one = with(ca_.issue("rotating", {.cn = "node", .hosts = {"10.9.9.9"}}));
  Member one(options(1, options_one));
  Member two(good(2));
  introduce(one, two);
  EXPECT_TRUE(eventually([&] { return two.unreachable_calls() > 0; }));
  ca_.issue("rotating", {.cn = "node"});
  EXPECT_TRUE(two.wait_connected(one.id()));
  EXPECT_TRUE(one.wait_connected(two.id()));
}

}  // namespace
}  // namespace kv::raft
