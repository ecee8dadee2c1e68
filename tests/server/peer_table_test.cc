#include "server/peer_table.h"

#include <gtest/gtest.h>

namespace kv::server {
namespace {

etcdserverpb::Member member(uint64_t id, const std::string& url) {
  etcdserverpb::Member member;
  member.set_id(id);
  member.add_peerurls(url);
  return member;
}

class PeerTableTest : public testing::Test {
 protected:
  PeerTableTest()
      : table_({.add =
                    [this](const raft::PeerAddress& peer) {
                      did_.push_back("+" + to_string(peer.id) + " " + peer.urls.at(0));
                    },
                .remove = [this](raft::NodeId id) { did_.push_back("-" + to_string(id)); },
                .farewell_ms = 1000}) {}

  std::vector<std::string> done() { return std::exchange(did_, {}); }

  std::vector<std::string> did_;
  PeerTable table_;
};

using Did = std::vector<std::string>;

TEST_F(PeerTableTest, Follows_what_is_new_and_what_has_changed) {
  const auto one = member(1, "http://a:1"), two = member(2, "http://b:1"), moved = member(2, "http://c:1");
  table_.follow(1, {one, two}, {}, 0);
  EXPECT_EQ(done(), (Did{"+2 http://b:1"})) << "nobody is one's own peer";
  table_.follow(1, {one, two}, {}, 0);
  EXPECT_EQ(done(), Did{});
  table_.follow(1, {one, moved, member(3, "http://d:1")}, {}, 0);
  EXPECT_EQ(done(), (Did{"+2 http://c:1", "+3 http://d:1"}));
}

TEST_F(PeerTableTest, Who_is_removed_keeps_its_streams_for_a_moment_and_is_refused_once) {
  table_.follow(1, {member(2, "http://b:1")}, {}, 0);
  (void)done();
  table_.follow(1, {}, {2}, 5000);
  table_.expire(5999);
  EXPECT_EQ(done(), Did{});
  table_.follow(1, {}, {2}, 5999);  // another change does not make it stay longer
  table_.expire(6000);
  EXPECT_EQ(done(), (Did{"-2"}));
  table_.follow(1, {}, {2}, 7000);
  table_.expire(9000);
  EXPECT_EQ(done(), Did{});
}

TEST_F(PeerTableTest, Who_was_removed_before_the_start_is_refused_at_once) {
  table_.follow(1, {member(2, "http://b:1")}, {3}, 5000);
  table_.expire(5000);
  EXPECT_EQ(done(), (Did{"+2 http://b:1", "-3"}));
}

}  // namespace
}  // namespace kv::server
