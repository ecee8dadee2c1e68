// How a member finds its place in a cluster that runs, and what it is told when it has none.
#include "server/join.h"

#include <gtest/gtest.h>

#include "fixture.h"
#include "server/removal.h"

namespace kv::server {
namespace {

etcdserverpb::Member member(uint64_t id, const std::string& name, std::vector<std::string> urls) {
  etcdserverpb::Member member;
  member.set_id(id);
  member.set_name(name);
  for (const std::string& url : urls) member.add_peerurls(url);
  return member;
}

class Join : public testing::Test {
 protected:
  Join() {
    cluster_.cluster_id = 77;
    cluster_.members = {member(1, "m1", {"http://a:1"}), member(2, "m2", {"http://b:1", "http://b:2"}),
                        member(3, "", {"http://c:1"})};
    options_.name = "m3";
    options_.initial_cluster = {{"m1", {"http://a:1"}}, {"m2", {"http://b:2", "http://b:1"}}, {"m3", {"http://c:1"}}};
    options_.initial_advertise_peer_urls = {"http://c:1"};
    options_.must_exist = true;
  }
  std::string trouble() {
    const auto place = place_in(cluster_, options_);
    EXPECT_FALSE(place.ok());
    EXPECT_EQ(place.status().code(), Code::kInvalidArgument);
    return place.status().text();
  }

  ClusterInfo cluster_;
  MemberOptions options_;
};

TEST_F(Join, A_member_that_was_added_takes_the_id_it_was_given) {
  const auto place = place_in(cluster_, options_);
  ASSERT_TRUE(place.ok()) << place.status().to_string();
  EXPECT_EQ(place->member_id(), 3u);
  EXPECT_EQ(place->cluster_id(), 77u);
  EXPECT_EQ(place->members_size(), 0) << "it has no first members: its configuration comes with the state";
}

TEST_F(Join, One_that_was_not_added_is_told_how) {
  cluster_.members.pop_back();
  EXPECT_NE(trouble().find("add this one first with `kvctl member add m3 --peer-urls=http://c:1`"), std::string::npos);
}

TEST_F(Join, The_list_must_be_the_clusters) {
  auto both = options_.initial_cluster;
  options_.initial_cluster.erase("m1");
  EXPECT_NE(trouble().find("member count is unequal: --initial-cluster lists 2 members, cluster"), std::string::npos);
  EXPECT_NE(trouble().find("m1=http://a:1,m2=http://b:1,m2=http://b:2"), std::string::npos);
  options_.initial_cluster = both;
  options_.initial_cluster["m1"] = {"http://x:1"};
  EXPECT_NE(trouble().find("does not list the peer URLs http://a:1"), std::string::npos);
  options_.name = "m4";
  EXPECT_NE(trouble().find("does not contain this member's --name \"m4\""), std::string::npos);
}

TEST_F(Join, One_that_took_part_before_and_lost_its_data_is_refused) {
  cluster_.members[2].set_name("m3");
  EXPECT_NE(trouble().find("a member that lost its data can't come back under its id"), std::string::npos);
}

TEST_F(Join, Nobody_to_ask_is_said_with_every_address) {
  const std::string url = "http://127.0.0.1:" + std::to_string(free_port());
  options_.initial_cluster = {{"m1", {url}}, {"m3", {"http://c:1"}}};
  const auto place = join_cluster(options_, nullptr, 0);
  ASSERT_FALSE(place.ok());
  EXPECT_EQ(place.status().code(), Code::kUnavailable);
  EXPECT_NE(place.status().text().find(url + ": Connection refused"), std::string::npos) << place.status().text();
  options_.initial_cluster.clear();
  EXPECT_NE(join_cluster(options_, nullptr, 0).status().text().find("needs --initial-cluster"), std::string::npos);
}

// ---- GET /members ---------------------------------------------------------------------------------------------

TEST(PeerHttp, Members_are_told_as_etcd_tells_them) {
  auto learner = member(0xfedcba9876543210, "", {"http://b:1"});
  learner.set_islearner(true);
  auto first = member(1, "m1", {"http://a:1"});
  first.add_clienturls("http://a:2379");
  const std::string response = answer_peer_http("/members", 0xcdf818194e3a8c32, {first, learner}, "3.6.0");
  EXPECT_NE(response.find("X-Etcd-Cluster-ID: cdf818194e3a8c32\r\n"), std::string::npos);
  EXPECT_NE(response.find(R"([{"id":1,"peerURLs":["http://a:1"],"name":"m1","clientURLs":["http://a:2379"]},)"
                          R"({"id":18364758544493064720,"peerURLs":["http://b:1"],"isLearner":true}])"
                          "\n"),
            std::string::npos)
      << response;
  const auto read = read_members_response(response);
  ASSERT_TRUE(read.ok()) << read.status().to_string();
  EXPECT_EQ(read->cluster_id, 0xcdf818194e3a8c32u);
  ASSERT_EQ(read->members.size(), 2u);
  EXPECT_EQ(read->members[0].SerializeAsString(), first.SerializeAsString());
  EXPECT_EQ(read->members[1].SerializeAsString(), learner.SerializeAsString());
}

TEST(PeerHttp, Version_is_told_and_the_rest_is_not_found) {
  EXPECT_NE(answer_peer_http("/version", 1, {}, "3.6.0").find(R"({"etcdserver":"3.6.0","etcdcluster":"3.6.0"})"),
            std::string::npos);
  EXPECT_EQ(answer_peer_http("/metrics", 1, {}, "3.6.0").find("HTTP/1.1 404 Not Found\r\n"), 0u);
}

TEST(PeerHttp, What_is_no_members_answer_is_refused) {
  const auto answer = [](const std::string& status, const std::string& id, const std::string& body) {
    return read_members_response("HTTP/1.1 " + status + "\r\nX-Etcd-Cluster-ID: " + id +
                                 "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  const std::string good = R"([{"id":1,"peerURLs":["http://a:1"],"name":"m1"}])";
  EXPECT_TRUE(answer("200 OK", "1f", good).ok());
  EXPECT_FALSE(answer("404 Not Found", "1f", good).ok());
  EXPECT_FALSE(answer("200 OK", "", good).ok());
  EXPECT_FALSE(answer("200 OK", "xyz", good).ok());
  EXPECT_FALSE(answer("200 OK", "11112222333344445", good).ok());
  for (const char* body :
       {"", "[]", "{}", "[1]", R"([{"id":"1"}])", R"([{"id":-1}])", R"([{"id":0}])", R"([{"id":1.5}])",
        R"([{"peerURLs":[]}])", R"([{"id":1,"peerURLs":"x"}])", R"([{"id":1,"peerURLs":[1]}])",
        R"([{"id":1,"name":2}])", R"([{"id":1,"isLearner":2}])", R"([{"id":1})"})
    EXPECT_FALSE(answer("200 OK", "1f", body).ok()) << body;
  EXPECT_FALSE(read_members_response("").ok());
  EXPECT_FALSE(read_members_response("KVD1....").ok());
  EXPECT_FALSE(read_members_response("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").ok());
}

// ---- removal notes --------------------------------------------------------------------------------------------

TEST(Removal, A_note_is_read_back_until_it_is_deleted) {
  const TempDirectory directory;
  EXPECT_FALSE(removal_note(directory.path()));
  const Status status = removed_from_cluster(1, 2, directory.path(), "member 3 says so");
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  leave_removal_note(directory.path(), status);
  EXPECT_EQ(removal_note(directory.path()), status);
  delete_removal_note(directory.path());
  EXPECT_FALSE(removal_note(directory.path()));
}

}  // namespace
}  // namespace kv::server
