// Who gets in, and who does not.
#include "tls/context.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "tls/authority.h"
#include "tls/pair.h"

namespace kv::tls {
namespace {

using test::Authority;
using test::StreamPair;

class TlsContext : public ::testing::Test {
 protected:
  std::shared_ptr<Context> make(const Options& options) {
    auto made = Context::create(options, "test");
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    return made.ok() ? *made : nullptr;
  }
  Options with(const test::IssuedFiles& files, bool trusting = true) const {
    Options options;
    options.cert_file = files.cert_file;
    options.key_file = files.key_file;
    if (trusting) options.trusted_ca_file = ca_.ca_file();
    return options;
  }
  std::string why_not(const Options& options) {
    const auto made = Context::create(options, "test");
    return made.ok() ? "it is good" : made.status().text();
  }

  test::ScratchDirectory directory_;
  Authority ca_{directory_.path(), "ca"};
  Authority other_ca_{directory_.path(), "other-ca"};
  test::IssuedFiles server_ = ca_.issue("server");
  test::IssuedFiles client_ = ca_.issue("client", {.cn = "alice", .hosts = {}});
};

TEST_F(TlsContext, Streams_carry_bytes_both_ways) {
  auto server = make(with(server_));
  auto client = make(with(client_));
  StreamPair pair(*server, *client);
  ASSERT_TRUE(pair.shake_hands()) << pair.accepted->failure() << " / " << pair.dialled->failure();
  EXPECT_EQ(StreamPair::carry(*pair.dialled, *pair.accepted, "ping"), "ping");
  EXPECT_EQ(StreamPair::carry(*pair.accepted, *pair.dialled, "pong"), "pong");
  // More than a record, so that several have to be put together.
  const std::string much(100'000, 'x');
  EXPECT_EQ(StreamPair::carry(*pair.dialled, *pair.accepted, much), much);
}

TEST_F(TlsContext, An_end_with_and_without_a_word_is_an_end_not_a_failure) {
  auto server = make(with(server_));
  auto client = make(with(client_));
  for (const bool with_a_word : {true, false}) {
    StreamPair pair(*server, *client);
    ASSERT_TRUE(pair.shake_hands());
    if (with_a_word) pair.dialled->end_write();
    pair.close_one(1);
    char byte = 0;
    EXPECT_EQ(pair.accepted->read(&byte, 1).state, Outcome::State::kClosed)
        << with_a_word << ": " << pair.accepted->failure();
  }
}

TEST_F(TlsContext, A_verified_CN_is_a_user_only_with_client_cert_auth) {
  for (const bool auth : {false, true}) {
    Options options = with(server_);
    options.client_cert_auth = auth;
    auto server = make(options);
    auto client = make(with(client_));
    StreamPair pair(*server, *client);
    EXPECT_EQ(pair.accepted->user(), std::nullopt);
    ASSERT_TRUE(pair.shake_hands());
    EXPECT_EQ(pair.accepted->user(), auth ? std::optional<std::string>("alice") : std::nullopt);
  }
}

TEST_F(TlsContext, A_verified_certificate_without_a_CN_is_told_from_none) {
  Options options = with(server_);
  options.client_cert_auth = true;
  auto server = make(options);
  auto client = make(with(ca_.issue("nameless", {})));
  StreamPair pair(*server, *client);
  ASSERT_TRUE(pair.shake_hands());
  EXPECT_EQ(pair.accepted->user(), "");
}

TEST_F(TlsContext, Who_shows_no_certificate_or_a_foreign_one_is_refused) {
  Options options = with(server_);
  options.client_cert_auth = true;
  auto server = make(options);
  const auto foreign = other_ca_.issue("foreign", {.cn = "alice"});
  auto stranger = make(with(foreign));
  StreamPair pair(*server, *stranger);
  EXPECT_FALSE(pair.shake_hands());
  EXPECT_NE(pair.accepted->failure().find("unable to get local issuer certificate"), std::string::npos)
      << pair.accepted->failure();
  EXPECT_EQ(pair.accepted->user(), std::nullopt);

  SSL_CTX* const bare = SSL_CTX_new(TLS_client_method());
  StreamPair nameless;
  nameless.accepted = server->accept(nameless.fds[0]);
  SSL* const ssl = SSL_new(bare);
  SSL_set_fd(ssl, nameless.fds[1]);
  SSL_set_connect_state(ssl);
  for (int i = 0; i < 10; ++i) {
    SSL_do_handshake(ssl);
    nameless.accepted->handshake();
  }
  EXPECT_FALSE(nameless.accepted->ready());
  EXPECT_NE(nameless.accepted->failure().find("did not return a certificate"), std::string::npos)
      << nameless.accepted->failure();
  SSL_free(ssl);
  SSL_CTX_free(bare);
}

TEST_F(TlsContext, Expired_and_not_yet_good_certificates_are_refused) {
  Options options = with(server_);
  options.client_cert_auth = true;
  auto server = make(options);
  for (const auto& [begins, ends, why] :
       {std::tuple{-7200, -3600, "certificate has expired"}, std::tuple{3600, 7200, "certificate is not yet valid"}}) {
    auto client = make(with(ca_.issue("late", {.cn = "alice", .begins_in_s = begins, .ends_in_s = ends})));
    StreamPair pair(*server, *client);
    EXPECT_FALSE(pair.shake_hands());
    EXPECT_NE(pair.accepted->failure().find(why), std::string::npos) << pair.accepted->failure();
  }
  // The dialling side looks as well.
  auto old_server = make(with(ca_.issue("old", {.begins_in_s = -7200, .ends_in_s = -3600})));
  auto client = make(with(client_));
  StreamPair pair(*old_server, *client);
  EXPECT_FALSE(pair.shake_hands());
  EXPECT_NE(pair.dialled->failure().find("certificate has expired"), std::string::npos) << pair.dialled->failure();
}

TEST_F(TlsContext, Revoked_certificates_are_refused_on_both_sides) {
  for (const bool der : {false, true}) {
    const auto gone = ca_.issue("gone", {.cn = "bob"});
    Options strict = with(server_);
    strict.crl_file = ca_.revoke("crl", {gone.serial}, der);
    auto judge = make(strict);
    auto revoked = make(with(gone));
    auto good = make(with(client_));
    StreamPair in(*judge, *revoked);
    EXPECT_FALSE(in.shake_hands());
    EXPECT_NE(in.accepted->failure().find("certificate revoked"), std::string::npos) << in.accepted->failure();
    StreamPair out(*revoked, *judge);
    EXPECT_FALSE(out.shake_hands());
    EXPECT_NE(out.dialled->failure().find("certificate revoked"), std::string::npos) << out.dialled->failure();
    EXPECT_TRUE(StreamPair(*judge, *good).shake_hands());
  }
}

TEST_F(TlsContext, The_same_serial_number_of_another_CA_is_not_revoked) {
  const auto theirs = other_ca_.issue("theirs");
  Options strict = with(server_);
  test::write_text(directory_.path() + "/both.pem",
                   test::read_text(ca_.ca_file()) + test::read_text(other_ca_.ca_file()));
  strict.trusted_ca_file = directory_.path() + "/both.pem";
  strict.crl_file = ca_.revoke("crl.pem", {theirs.serial});
  auto judge = make(strict);
  EXPECT_TRUE(StreamPair(*judge, *make(with(theirs))).shake_hands());
}

TEST_F(TlsContext, The_dialled_must_be_who_was_dialled) {
  auto server =
      make(with(ca_.issue("named", {.cn = "name.example", .hosts = {"db.example", "*.wild.example", "::1"}})));
  Options asks_nobody = with(server_, false);
  auto client = make(with(client_));
  for (const auto& [host, good] : {std::pair{"db.example", true},
                                   {"x.wild.example", true},
                                   {"::1", true},
                                   {"name.example", false},
                                   {"a.b.wild.example", false},
                                   {"127.0.0.1", false},
                                   {"", false}}) {
    StreamPair pair(*server, *client, host);
    EXPECT_EQ(pair.shake_hands(), good) << host << ": " << pair.dialled->failure();
  }
  auto foreign = make(with(other_ca_.issue("foreign")));
  StreamPair pair(*foreign, *client);
  EXPECT_FALSE(pair.shake_hands());
}

TEST_F(TlsContext, Trust_in_anyone_dialled_asks_for_no_name) {
  Options options = with(client_, false);
  options.trust_anyone_dialled = true;
  auto client = make(options);
  auto server = make(with(other_ca_.issue("foreign"), false));
  EXPECT_TRUE(StreamPair(*server, *client, "elsewhere.example").shake_hands());
}

TEST_F(TlsContext, Only_allowed_names_get_in) {
  const auto node = ca_.issue("node", {.cn = "node", .hosts = {"node.example"}});
  Options by_cn = with(server_);
  by_cn.allowed_cns = {"other", "node"};
  Options by_host = with(server_);
  by_host.allowed_hostnames = {"node.example"};
  for (const Options& rules : {by_cn, by_host}) {
    auto server = make(rules);
    EXPECT_TRUE(StreamPair(*server, *make(with(node, false)), "localhost").accepted != nullptr);
    auto allowed = make(with(node));
    StreamPair good(*server, *allowed);
    // Rules are for both directions, and so the dialling side has none here.
    EXPECT_TRUE(good.shake_hands()) << good.accepted->failure() << " / " << good.dialled->failure();
    StreamPair bad(*server, *make(with(client_)));
    EXPECT_FALSE(bad.shake_hands());
    EXPECT_NE(bad.accepted->failure().find("none of the allowed names"), std::string::npos) << bad.accepted->failure();
  }
}

TEST_F(TlsContext, A_certificate_is_good_for_the_hosts_it_names) {
  auto server = make(with(server_));
  const auto node = ca_.issue("node", {.hosts = {"10.0.0.1", "node.example"}});
  StreamPair pair(*server, *make(with(node)));
  ASSERT_TRUE(pair.shake_hands());
  EXPECT_TRUE(pair.accepted->is_good_for({"elsewhere", "node.example"}));
  EXPECT_TRUE(pair.accepted->is_good_for({"10.0.0.1"}));
  EXPECT_FALSE(pair.accepted->is_good_for({"10.0.0.2", "elsewhere"}));
  EXPECT_FALSE(pair.accepted->is_good_for({}));
  StreamPair hostless(*server, *make(with(client_)));
  ASSERT_TRUE(hostless.shake_hands());
  EXPECT_TRUE(hostless.accepted->is_good_for({"10.0.0.2"}));
}

TEST_F(TlsContext, ALPN_takes_our_first_and_refuses_what_nobody_speaks) {
  Options options = with(server_, false);
  options.protocols = {"h2", "http/1.1"};
  auto server = make(options);
  SSL_CTX* const bare = SSL_CTX_new(TLS_client_method());
  const auto chosen = [&](const std::string& wire) {
    StreamPair pair;
    pair.accepted = server->accept(pair.fds[0]);
    SSL* const ssl = SSL_new(bare);
    SSL_set_fd(ssl, pair.fds[1]);
    SSL_set_connect_state(ssl);
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(wire.data()), static_cast<unsigned>(wire.size()));
    for (int i = 0; i < 10; ++i) {
      SSL_do_handshake(ssl);
      pair.accepted->handshake();
    }
    std::string result = pair.accepted->ready() ? std::string(pair.accepted->protocol()) : "refused";
    SSL_free(ssl);
    return result;
  };
  EXPECT_EQ(chosen("\x08http/1.1\x02h2"), "h2");
  EXPECT_EQ(chosen("\x08http/1.1"), "http/1.1");
  EXPECT_EQ(chosen(""), "");
  EXPECT_EQ(chosen("\x03"
                   "foo"),
            "refused");
  SSL_CTX_free(bare);
}

TEST_F(TlsContext, TLS_1_1_is_refused_and_bounds_are_kept) {
  const auto shakes = [&](Version min, Version max, int client_max) {
    Options options = with(server_, false);
    options.min_version = min;
    options.max_version = max;
    auto server = make(options);
    SSL_CTX* const bare = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(bare, 0);
    SSL_CTX_set_min_proto_version(bare, client_max);
    SSL_CTX_set_max_proto_version(bare, client_max);
    StreamPair pair;
    pair.accepted = server->accept(pair.fds[0]);
    SSL* const ssl = SSL_new(bare);
    SSL_set_cipher_list(ssl, "ALL:@SECLEVEL=0");
    SSL_set_fd(ssl, pair.fds[1]);
    SSL_set_connect_state(ssl);
    for (int i = 0; i < 10; ++i) {
      SSL_do_handshake(ssl);
      pair.accepted->handshake();
    }
    const bool ready = pair.accepted->ready();
    SSL_free(ssl);
    SSL_CTX_free(bare);
    return ready;
  };
  EXPECT_FALSE(shakes(Version::kTls12, Version::kTls13, TLS1_1_VERSION));
  EXPECT_TRUE(shakes(Version::kTls12, Version::kTls13, TLS1_2_VERSION));
  EXPECT_TRUE(shakes(Version::kTls12, Version::kTls13, TLS1_3_VERSION));
  EXPECT_FALSE(shakes(Version::kTls13, Version::kTls13, TLS1_2_VERSION));
  EXPECT_FALSE(shakes(Version::kTls12, Version::kTls12, TLS1_3_VERSION));
}

TEST_F(TlsContext, Renegotiation_is_refused) {
  Options options = with(server_, false);
  options.max_version = Version::kTls12;
  auto server = make(options);
  SSL_CTX* const bare = SSL_CTX_new(TLS_client_method());
  StreamPair pair;
  pair.accepted = server->accept(pair.fds[0]);
  SSL* const ssl = SSL_new(bare);
  SSL_set_fd(ssl, pair.fds[1]);
  SSL_set_connect_state(ssl);
  for (int i = 0; i < 10; ++i) {
    SSL_do_handshake(ssl);
    pair.accepted->handshake();
  }
  ASSERT_TRUE(pair.accepted->ready());
  ASSERT_EQ(SSL_renegotiate(ssl), 1);
  char byte = 0;
  int result = 1;
  for (int i = 0; i < 10 && result != 0; ++i) {
    result = SSL_do_handshake(ssl);
    (void)pair.accepted->read(&byte, 1);
    if (SSL_get_error(ssl, result) == SSL_ERROR_SSL) break;
  }
  // A no_renegotiation warning, after which the client gives up: it never gets a second handshake.
  EXPECT_NE(result, 1);
  SSL_free(ssl);
  SSL_CTX_free(bare);
}

TEST_F(TlsContext, A_flood_of_key_updates_ends_the_stream_and_a_few_do_not) {
  auto server = make(with(server_, false));
  SSL_CTX* const bare = SSL_CTX_new(TLS_client_method());
  StreamPair pair;
  pair.accepted = server->accept(pair.fds[0]);
  SSL* const ssl = SSL_new(bare);
  SSL_set_fd(ssl, pair.fds[1]);
  SSL_set_connect_state(ssl);
  for (int i = 0; i < 10; ++i) {
    SSL_do_handshake(ssl);
    pair.accepted->handshake();
  }
  ASSERT_TRUE(pair.accepted->ready());
  char byte = 0;
  for (const auto& [updates, state] : {std::pair{10, Outcome::State::kOk}, {3000, Outcome::State::kFailed}}) {
    Outcome got{Outcome::State::kWantRead};
    for (int i = 0; i < updates && got.state == Outcome::State::kWantRead; ++i) {
      ASSERT_EQ(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
      SSL_do_handshake(ssl);
      if (i % 50 == 0) got = pair.accepted->read(&byte, 1);
    }
    if (got.state == Outcome::State::kWantRead) {
      SSL_write(ssl, "x", 1);
      got = pair.accepted->read(&byte, 1);
    }
    EXPECT_EQ(got.state, state) << pair.accepted->failure();
  }
  EXPECT_EQ(pair.accepted->failure(), "too many handshake messages after the handshake");
  SSL_free(ssl);
  SSL_CTX_free(bare);
}

TEST_F(TlsContext, Plain_HTTP_is_recognised_and_noise_is_not) {
  auto server = make(with(server_, false));
  for (const auto& [bytes, http] : {std::pair{"GET /health HTTP/1.1\r\n\r\n", true},
                                    {"DELETE /v2/keys/a HTTP/1.1\r\n\r\n", true},
                                    {"PRI * HTTP/2.0\r\n\r\n", false},
                                    {"\x01\x02\x03\x04\x05\x06\x07\x08", false}}) {
    StreamPair pair;
    pair.accepted = server->accept(pair.fds[0]);
    ASSERT_GT(::send(pair.fds[1], bytes, std::char_traits<char>::length(bytes), 0), 0);
    char byte = 0;
    EXPECT_EQ(pair.accepted->read(&byte, 1).state, Outcome::State::kFailed);
    EXPECT_EQ(pair.accepted->was_plain_http(), http) << bytes;
  }
}

TEST_F(TlsContext, Options_that_protect_nobody_are_refused_with_the_reason) {
  Options none;
  EXPECT_NE(why_not(none).find("TLS needs both a certificate and its key"), std::string::npos) << why_not(none);
  Options auth = with(server_, false);
  auth.client_cert_auth = true;
  EXPECT_NE(why_not(auth).find("needs a file of trusted CAs"), std::string::npos) << why_not(auth);
  Options list = with(server_, false);
  list.crl_file = ca_.revoke("crl.pem", {});
  EXPECT_NE(why_not(list).find("a revocation list needs"), std::string::npos) << why_not(list);
  Options both = with(server_);
  both.allowed_cns = {"a"};
  both.allowed_hostnames = {"b"};
  EXPECT_NE(why_not(both).find("mutually exclusive"), std::string::npos) << why_not(both);
  Options swapped = with(server_);
  swapped.key_file = client_.key_file;
  EXPECT_NE(why_not(swapped).find("does not belong to the certificate"), std::string::npos) << why_not(swapped);
  Options missing = with(server_);
  missing.cert_file = directory_.path() + "/nowhere.pem";
  EXPECT_NE(why_not(missing).find("nowhere.pem\": No such file"), std::string::npos) << why_not(missing);
  Options forged = with(server_);
  // other-ca's list under our CA's name.
  test::ScratchDirectory elsewhere;
  Authority same_name(elsewhere.path(), "ca");
  forged.crl_file = same_name.revoke("crl.pem", {1});
  EXPECT_NE(why_not(forged).find("not signed by the CA"), std::string::npos) << why_not(forged);
  Options suites = with(server_);
  suites.min_version = Version::kTls13;
  suites.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"};
  EXPECT_EQ(why_not(suites), "cipher suites cannot be configured when only TLS1.3 is enabled");
}

}  // namespace
}  // namespace kv::tls
