// Files that change under a running server.
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <functional>

#include "tls/authority.h"
#include "tls/context.h"
#include "tls/pair.h"

namespace kv::tls {
namespace {

using test::Authority;
using test::StreamPair;

// Each look opens a new connection, which is what makes the context look at its files.
bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::poll(nullptr, 0, 20);
  }
  return true;
}

class TlsReload : public ::testing::Test {
 protected:
  void SetUp() override {
    Options options;
    options.cert_file = server_.cert_file;
    options.key_file = server_.key_file;
    options.trusted_ca_file = ca_.ca_file();
    options.crl_file = ca_.revoke("crl.pem", {});
    server = *Context::create(options, "test");
    options.cert_file = client_.cert_file;
    options.key_file = client_.key_file;
    options.crl_file.clear();
    client = *Context::create(options, "test");
  }
  bool works(const std::string& host) { return StreamPair(*server, *client, host).shake_hands(); }

  test::ScratchDirectory directory_;
  Authority ca_{directory_.path(), "ca"};
  test::IssuedFiles server_ = ca_.issue("server", {.hosts = {"before"}});
  test::IssuedFiles client_ = ca_.issue("client", {.hosts = {}});
  std::shared_ptr<Context> server;
  std::shared_ptr<Context> client;
};

TEST_F(TlsReload, A_new_certificate_is_shown_to_new_connections_and_old_ones_go_on) {
  StreamPair old(*server, *client, "before");
  ASSERT_TRUE(old.shake_hands());
  ca_.issue("server", {.hosts = {"after"}});
  EXPECT_TRUE(eventually([&] { return works("after"); }));
  EXPECT_FALSE(works("before"));
  EXPECT_EQ(StreamPair::carry(*old.dialled, *old.accepted, "still here"), "still here");
}

TEST_F(TlsReload, What_a_revocation_list_adds_counts_for_new_connections) {
  ASSERT_TRUE(works("before"));
  ca_.revoke("crl.pem", {client_.serial});
  EXPECT_TRUE(eventually([&] { return !works("before"); }));
  ca_.revoke("crl.pem", {});
  EXPECT_TRUE(eventually([&] { return works("before"); }));
}

TEST_F(TlsReload, A_broken_file_or_a_key_that_does_not_fit_keeps_the_old_ones) {
  const std::string key = test::read_text(server_.key_file);
  ::testing::internal::CaptureStderr();
  test::write_text(server_.cert_file, "-----BEGIN CERTIFICATE-----\nhalf of");
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(2 * Context::kLookEveryMs + 500);
  while (std::chrono::steady_clock::now() < until) {
    ASSERT_TRUE(works("before"));
    ::poll(nullptr, 0, 50);
  }
  const std::string said = ::testing::internal::GetCapturedStderr();
  const size_t first = said.find("are no good");
  ASSERT_NE(first, std::string::npos) << said;
  EXPECT_EQ(said.find("are no good", first + 1), std::string::npos) << "said twice: " << said;

  // First the certificate, then the key: in between the two do not fit.
  ca_.issue("server", {.hosts = {"after"}});
  const std::string new_key = test::read_text(server_.key_file);
  test::write_text(server_.key_file, key);
  ASSERT_TRUE(works("before"));
  ::poll(nullptr, 0, static_cast<int>(Context::kLookEveryMs) + 100);
  EXPECT_TRUE(works("before"));
  test::write_text(server_.key_file, new_key);
  EXPECT_TRUE(eventually([&] { return works("after"); }));
}

TEST_F(TlsReload, A_file_that_goes_away_keeps_the_old_ones) {
  ASSERT_EQ(::unlink(server_.key_file.c_str()), 0);
  ::poll(nullptr, 0, static_cast<int>(Context::kLookEveryMs) + 100);
  EXPECT_TRUE(works("before"));
}

}  // namespace
}  // namespace kv::tls
