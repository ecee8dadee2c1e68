#include "client/address.h"

#include <gtest/gtest.h>

namespace kv::client {
namespace {

TEST(Address, Host_and_port_leave_the_security_to_the_options) {
  const auto a = parse_address("10.0.0.44:2379");
  ASSERT_TRUE(a.ok()) << a.status().to_string();
  EXPECT_EQ(a->target, "10.0.0.44:2379");
  EXPECT_EQ(a->security, Security::kAsOptioned);
}

TEST(Address, Scheme_decides_about_tls) {
  EXPECT_EQ(parse_address("http://h:1")->security, Security::kPlain);
  EXPECT_EQ(parse_address("https://h:1")->security, Security::kTls);
  EXPECT_EQ(parse_address("https://h:1")->target, "h:1");
}

TEST(Address, Path_behind_the_port_is_ignored) { EXPECT_EQ(parse_address("http://h:1/v3/")->target, "h:1"); }

TEST(Address, Ipv6_needs_brackets) {
  EXPECT_EQ(parse_address("[::1]:2379")->target, "[::1]:2379");
  EXPECT_EQ(parse_address("http://[fe80::1]:2379")->target, "[fe80::1]:2379");
  EXPECT_FALSE(parse_address("::1:2379").ok());
  EXPECT_FALSE(parse_address("[::1]").ok());
}

TEST(Address, Unix_sockets_keep_their_path_and_are_named_after_the_file) {
  EXPECT_EQ(parse_address("unix:///run/kvd.sock")->target, "unix:/run/kvd.sock");
  EXPECT_EQ(parse_address("unix:///run/kvd.sock")->authority, "kvd.sock");
  EXPECT_EQ(parse_address("unix://kvd.sock")->target, "unix:kvd.sock");
  EXPECT_EQ(parse_address("unix:kvd.sock")->security, Security::kAsOptioned);
  EXPECT_EQ(parse_address("unixs:///run/kvd.sock")->security, Security::kTls);
}

class BadAddress : public testing::TestWithParam<const char*> {};

TEST_P(BadAddress, Is_refused_with_the_forms_that_are_allowed) {
  const auto a = parse_address(GetParam());
  ASSERT_FALSE(a.ok());
  EXPECT_EQ(a.status().code(), Code::kInvalidArgument);
  EXPECT_NE(a.status().text().find("write host:port"), std::string::npos) << a.status().text();
  EXPECT_NE(a.status().text().find(GetParam()), std::string::npos) << a.status().text();
}

INSTANTIATE_TEST_SUITE_P(All, BadAddress,
                         testing::Values("", "localhost", ":2379", "h:", "h:x", "h:0", "h:65536", "h:1x", "ftp://h:1",
                                         "http://", "http://h", "unix:", "unix://", "a b:1"));

}  // namespace
}  // namespace kv::client
