#include "server/identity.h"

#include <gtest/gtest.h>

namespace kv::server {
namespace {

// The ids that every etcd user has seen: a lone member with default flags.
TEST(Identity, Default_member_has_the_id_that_etcd_gives_it) {
  const uint64_t id = member_id({"http://localhost:2380"}, "etcd-cluster");
  EXPECT_EQ(id, 0x8e9e05c52164694du);
  EXPECT_EQ(cluster_id({id}), 0xcdf818194e3a8c32u);
}

TEST(Identity, Ids_do_not_depend_on_the_order_of_urls_or_members) {
  EXPECT_EQ(member_id({"http://b:1", "http://a:1"}, "t"), member_id({"http://a:1", "http://b:1"}, "t"));
  EXPECT_EQ(cluster_id({3, 1, 2}), cluster_id({1, 2, 3}));
}

TEST(Identity, Token_keeps_clusters_with_equal_urls_apart) {
  EXPECT_NE(member_id({"http://a:1"}, "blue"), member_id({"http://a:1"}, "green"));
}

TEST(Url, Parts_are_read) {
  const auto url = parse_url("http://example.org:2379/");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->host, "example.org");
  EXPECT_EQ(url->port, 2379);
  EXPECT_EQ(parse_url("http://[::1]:2379")->host, "::1");
  EXPECT_EQ(parse_url("http://[::1]:2379")->authority(), "[::1]:2379");
}

TEST(Url, Wrong_ones_are_refused_with_their_text) {
  for (const char* wrong :
       {"", "localhost:2379", "ftp://a:1", "http://a", "http://:1", "http://a:x", "http://a:65536", "http://a:1/path",
        "http://a:1?x", "http://u@a:1", "http://[::1:2379", "http://[::1]2379", "http://a:", "http://"}) {
    const auto url = parse_url(wrong);
    ASSERT_FALSE(url.ok()) << wrong;
    EXPECT_EQ(url.status().code(), Code::kInvalidArgument);
    EXPECT_NE(url.status().text().find(std::string("\"") + wrong + "\""), std::string::npos) << url.status().text();
  }
}

TEST(InitialCluster, A_name_may_have_several_urls) {
  const auto cluster = parse_initial_cluster("m1=http://a:1,m2=http://b:1, m1=http://c:1");
  ASSERT_TRUE(cluster.ok());
  EXPECT_EQ(cluster->at("m1"), (std::vector<std::string>{"http://a:1", "http://c:1"}));
  EXPECT_EQ(cluster->size(), 2u);
}

TEST(InitialCluster, A_url_of_two_members_is_refused) {
  EXPECT_FALSE(parse_initial_cluster("m1=http://a:1,m2=http://a:1").ok());
  EXPECT_FALSE(parse_initial_cluster("m1").ok());
  EXPECT_FALSE(parse_initial_cluster("=http://a:1").ok());
  EXPECT_FALSE(parse_initial_cluster("").ok());
}

}  // namespace
}  // namespace kv::server
