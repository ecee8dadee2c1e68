// Changes of members on real members: three in one process, and whoever they add.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "members_fixture.h"
#include "server/errors.h"
#include "server/peer_http.h"

namespace kv::server {
namespace {

using namespace etcdserverpb;

std::string local_url() { return "http://127.0.0.1:" + std::to_string(free_port()); }

// A member, and why it can't go on when it can't.
class Node {
 public:
  explicit Node(MemberOptions made) : options(std::move(made)) {}
  ~Node() { stop(); }

  Status start() {
    auto started = Member::start(options, [this](Status status) {
      const std::lock_guard lock(mutex_);
      failure_ = std::move(status);
    });
    if (!started.ok()) return started.status();
    member = std::move(*started);
    return {};
  }
  void stop() {
    if (member) member->stop(0);
    member.reset();
  }
  std::optional<Status> failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

  MemberOptions options;
  std::shared_ptr<Member> member;

 private:
  mutable std::mutex mutex_;
  std::optional<Status> failure_;
};

class MembersChange : public testing::Test {
 protected:
  MembersChange() {
    std::map<std::string, std::vector<std::string>> cluster;
    for (const char* name : {"m1", "m2", "m3"}) cluster[name] = {local_url()};
    for (const auto& [name, urls] : cluster) {
      MemberOptions options = quick_options(directory_.path(), name, urls[0]);
      options.initial_cluster = cluster;
      nodes_.push_back(std::make_unique<Node>(options));
    }
    for (const auto& node : nodes_) EXPECT_EQ(node->start(), Status());
    EXPECT_TRUE(eventually([this] { return leader() != nullptr; }));
    EXPECT_TRUE(eventually([this] { return all_started(); }, 30));
  }

  // The running member that leads and whom no running member contradicts.
  Node* leader() const {
    Node* leader = nullptr;
    uint64_t id = 0;
    for (const auto& node : nodes_) {
      if (!node->member || node->failure()) continue;
      if (node->member->leader() == 0 || (id != 0 && node->member->leader() != id)) return nullptr;
      id = node->member->leader();
    }
    for (const auto& node : nodes_)
      if (node->member && node->member->id() == id) leader = node.get();
    return leader;
  }
  Node* follower() const {
    for (const auto& node : nodes_)
      if (node->member && !node->failure() && node.get() != leader()) return node.get();
    return nullptr;
  }

  static std::vector<etcdserverpb::Member> list(Node& node, bool linearizable = true) {
    MemberListRequest request;
    request.set_linearizable(linearizable);
    const auto answer = call(*node.member, &Member::member_list, request);
    EXPECT_EQ(answer.status, Status());
    return {answer.response.members().begin(), answer.response.members().end()};
  }
  bool all_started() const {
    for (const auto& node : nodes_) {
      const auto members = list(*node, false);
      for (const auto& member : members)
        if (member.name().empty() || members.size() != 3) return false;
    }
    return true;
  }

  static Answer<MemberAddResponse> add(Node& node, const std::string& url, bool learner = false) {
    MemberAddRequest request;
    request.add_peerurls(url);
    request.set_islearner(learner);
    return call(*node.member, &Member::member_add, request);
  }
  static Answer<MemberRemoveResponse> remove(Node& node, uint64_t id) {
    MemberRemoveRequest request;
    request.set_id(id);
    return call(*node.member, &Member::member_remove, request);
  }
  static Answer<MemberPromoteResponse> promote(Node& node, uint64_t id) {
    MemberPromoteRequest request;
    request.set_id(id);
    return call(*node.member, &Member::member_promote, request);
  }
  static Answer<MemberUpdateResponse> update(Node& node, uint64_t id, const std::string& url) {
    MemberUpdateRequest request;
    request.set_id(id);
    if (!url.empty()) request.add_peerurls(url);
    return call(*node.member, &Member::member_update, request);
  }

  TempDirectory directory_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

TEST_F(MembersChange, A_learner_is_added_through_any_member_and_refused_as_voter_until_in_sync) {
  const std::string url = local_url();
  const auto added = add(*follower(), url, /*learner=*/true);
  ASSERT_EQ(added.status, Status());
  EXPECT_EQ(added.response.header().revision(), 0) << "members are not keys";
  EXPECT_NE(added.response.header().cluster_id(), 0u);
  EXPECT_TRUE(added.response.member().islearner());
  EXPECT_EQ(added.response.member().peerurls(0), url);
  ASSERT_EQ(added.response.members_size(), 4);
  const uint64_t id = added.response.member().id();
  // Whoever answered knows of it: no wait.
  for (const auto& node : nodes_) {
    const auto members = list(*node);
    ASSERT_EQ(members.size(), 4u);
    for (const auto& member : members) EXPECT_EQ(member.islearner(), member.id() == id);
  }
  for (const auto& node : nodes_) {
    EXPECT_EQ(promote(*node, id).status, errors::learner_not_ready());
    EXPECT_EQ(add(*node, local_url(), true).status, errors::too_many_learners());
    EXPECT_EQ(add(*node, url).status, errors::peer_urls_exist());
    EXPECT_EQ(promote(*node, node->member->id()).status, errors::member_not_learner());
    EXPECT_EQ(promote(*node, 99).status, errors::member_not_found());
    EXPECT_EQ(remove(*node, 99).status, errors::member_not_found());
    EXPECT_EQ(update(*node, 99, local_url()).status, errors::member_not_found());
    EXPECT_EQ(update(*node, node->member->id(), url).status, errors::peer_urls_exist());
    EXPECT_EQ(update(*node, node->member->id(), "").status, errors::bad_member_urls());
    EXPECT_EQ(add(*node, "nonsense").status, errors::bad_member_urls());
  }
  // A learner that is not there costs no quorum.
  EXPECT_EQ(put(*leader()->member, "k", "v").status, Status());
  const auto removed = remove(*follower(), id);
  ASSERT_EQ(removed.status, Status());
  EXPECT_EQ(removed.response.members_size(), 3);
  EXPECT_EQ(remove(*follower(), id).status, errors::member_not_found()) << "gone";
  const auto again = add(*leader(), url, true);
  ASSERT_EQ(again.status, Status());
  EXPECT_NE(again.response.member().id(), id) << "an id never comes back";
}

TEST_F(MembersChange, A_quorum_is_not_given_away) {
  ASSERT_EQ(add(*leader(), local_url()).status, Status());
  EXPECT_EQ(add(*leader(), local_url()).status, Status()) << "etcd, too, takes three of five for enough";
  EXPECT_EQ(add(*leader(), local_url()).status, errors::not_enough_started());
  // Three of five are there, and three are needed: none of them may go, and those who never started may.
  for (const auto& node : nodes_) EXPECT_EQ(remove(*leader(), node->member->id()).status, errors::not_enough_started());
  for (const auto& member : list(*leader()))
    if (member.name().empty()) {
      EXPECT_EQ(remove(*follower(), member.id()).status, Status());
    }
  ASSERT_EQ(list(*leader()).size(), 3u);

  Node* const lost = follower();
  const uint64_t lost_id = lost->member->id();
  lost->stop();
  ASSERT_TRUE(eventually([this] { return leader() != nullptr; }));
  EXPECT_EQ(add(*leader(), local_url()).status, errors::unhealthy());
  EXPECT_EQ(add(*leader(), local_url(), true).status, errors::unhealthy());
  EXPECT_EQ(remove(*leader(), follower()->member->id()).status, errors::unhealthy());
  EXPECT_EQ(remove(*follower(), leader()->member->id()).status, errors::unhealthy());
  EXPECT_EQ(remove(*follower(), lost_id).status, Status()) << "who is away is missed by nobody";
  EXPECT_EQ(put(*leader()->member, "k", "v").status, Status());
}

TEST_F(MembersChange, A_removed_follower_stops_itself_and_says_so_again) {
  Node* const removed = follower();
  const uint64_t id = removed->member->id();
  // Asked for by itself: it still answers.
  const auto answer = remove(*removed, id);
  ASSERT_EQ(answer.status, Status());
  EXPECT_EQ(answer.response.members_size(), 2);
  ASSERT_TRUE(eventually([&] { return removed->failure().has_value(); }));
  EXPECT_EQ(removed->failure()->code(), Code::kFailedPrecondition);
  EXPECT_NE(removed->failure()->text().find("was removed from cluster"), std::string::npos);
  EXPECT_NE(removed->failure()->text().find("kvctl member add"), std::string::npos);
  removed->stop();
  const Status again = removed->start();
  EXPECT_EQ(again, *removed->failure());
  EXPECT_EQ(put(*leader()->member, "k", "v").status, Status());
}

TEST_F(MembersChange, A_member_that_was_removed_while_away_hears_it_from_the_others) {
  Node* const removed = follower();
  const uint64_t id = removed->member->id();
  removed->stop();
  ASSERT_TRUE(eventually([this] { return leader() != nullptr; }));
  ASSERT_EQ(remove(*leader(), id).status, Status());
  ASSERT_EQ(removed->start(), Status());
  ASSERT_TRUE(eventually([&] { return removed->failure().has_value(); }, 30));
  EXPECT_EQ(removed->failure()->code(), Code::kFailedPrecondition);
  removed->stop();
  EXPECT_EQ(removed->start(), *removed->failure());
}

TEST_F(MembersChange, The_leader_is_removed_and_another_leads_soon) {
  Node* const old = leader();
  const uint64_t id = old->member->id();
  Node* const asked = follower();
  std::atomic<bool> stop{false};
  std::atomic<int64_t> longest_us{0};
  std::thread writer([&] {
    auto last = std::chrono::steady_clock::now();
    for (int i = 0; !stop; ++i) {
      EXPECT_EQ(put(*asked->member, "k", std::to_string(i)).status, Status());
      const auto now = std::chrono::steady_clock::now();
      longest_us =
          std::max<int64_t>(longest_us, std::chrono::duration_cast<std::chrono::microseconds>(now - last).count());
      last = now;
    }
  });
  const auto answer = remove(*old, id);
  EXPECT_EQ(answer.status, Status());
  EXPECT_TRUE(eventually([&] { return old->failure().has_value(); }));
  stop = true;
  writer.join();
  std::printf("longest gap between two writes while the leader was removed: %.1f ms\n",
              static_cast<double>(longest_us) / 1000);
  old->stop();
  ASSERT_TRUE(eventually([this] { return leader() != nullptr; }));
  EXPECT_EQ(list(*leader()).size(), 2u);
}

TEST_F(MembersChange, A_member_moves_to_another_port) {
  Node* const moving = follower();
  const uint64_t id = moving->member->id();
  const std::string url = local_url();
  const auto updated = update(*moving, id, url);
  ASSERT_EQ(updated.status, Status());
  ASSERT_EQ(updated.response.members_size(), 3);
  for (const auto& member : updated.response.members())
    if (member.id() == id) {
      EXPECT_EQ(member.peerurls(0), url);
    }
  moving->stop();
  moving->options.listen_peer_urls = moving->options.initial_advertise_peer_urls = {url};
  ASSERT_EQ(moving->start(), Status());
  ASSERT_TRUE(eventually([&] { return leader() != nullptr && moving->member->leader() != 0; }));
  EXPECT_EQ(put(*moving->member, "k", "v").status, Status());
  // The third one finds it there, too: with the leader away the two elect one of them.
  if (Node* const led = leader(); led != moving) led->stop();
  EXPECT_TRUE(eventually([&] { return put(*moving->member, "k", "w").status.ok(); }, 30));
}

// Many callers at many members: one change at a time goes through, and nobody is told what is not so.
TEST_F(MembersChange, Concurrent_changes_are_decided_one_by_one) {
  std::vector<std::thread> callers;
  std::atomic<int> added{0};
  for (int i = 0; i < 6; ++i) {
    callers.emplace_back([&, i] {
      const auto answer = add(*nodes_[static_cast<size_t>(i) % 3], local_url(), /*learner=*/true);
      if (answer.status.ok()) {
        ++added;
      } else {
        EXPECT_EQ(answer.status, errors::too_many_learners());
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(added, 1);
  EXPECT_EQ(list(*leader()).size(), 4u);
}

TEST_F(MembersChange, A_members_url_tells_who_takes_part) {
  for (const auto& node : nodes_) {
    const auto info = fetch_members(node->options.listen_peer_urls[0], nullptr, 10'000);
    ASSERT_TRUE(info.ok()) << info.status().to_string();
    EXPECT_EQ(info->cluster_id, node->member->cluster_id());
    EXPECT_EQ(info->members.size(), 3u);
  }
}

// The quorum is gone for good: one of three goes on alone with all that it has.
TEST_F(MembersChange, One_member_is_forced_to_be_a_cluster_of_its_own) {
  ASSERT_EQ(add(*leader(), local_url(), /*learner=*/true).status, Status());
  for (int i = 0; i < 20; ++i) ASSERT_EQ(put(*leader()->member, "k" + std::to_string(i), "v").status, Status());
  Node* const survivor = follower();
  const uint64_t id = survivor->member->id(), cluster = survivor->member->cluster_id();
  ASSERT_EQ(get(*survivor->member, "k19").response.kvs_size(), 1);
  for (const auto& node : nodes_) node->stop();

  survivor->options.force_new_cluster = true;
  ASSERT_EQ(survivor->start(), Status());
  ASSERT_TRUE(eventually([&] { return survivor->member->leader() == id; }));
  EXPECT_EQ(survivor->member->id(), id);
  EXPECT_EQ(survivor->member->cluster_id(), cluster);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(get(*survivor->member, "k" + std::to_string(i)).response.kvs_size(), 1) << i;
  EXPECT_EQ(put(*survivor->member, "after", "v").status, Status());
  EXPECT_EQ(list(*survivor).size(), 1u);

  // It stays so without the flag, and forcing it again changes nothing.
  for (const bool again : {false, true}) {
    survivor->stop();
    survivor->options.force_new_cluster = again;
    ASSERT_EQ(survivor->start(), Status());
    ASSERT_TRUE(eventually([&] { return survivor->member->leader() == id; }));
    EXPECT_EQ(get(*survivor->member, "after").response.kvs_size(), 1);
    EXPECT_EQ(list(*survivor).size(), 1u);
  }

  // Another one comes back by mistake: it is told that it was removed.
  Node* const other = nodes_[0].get() == survivor ? nodes_[1].get() : nodes_[0].get();
  ASSERT_EQ(other->start(), Status());
  EXPECT_TRUE(eventually([&] { return other->failure().has_value(); }, 30));
}

TEST_F(MembersChange, A_member_that_was_removed_can_be_forced_to_be_a_cluster) {
  ASSERT_EQ(put(*leader()->member, "k", "v").status, Status());
  Node* const removed = follower();
  ASSERT_EQ(remove(*removed, removed->member->id()).status, Status());
  ASSERT_TRUE(eventually([&] { return removed->failure().has_value(); }));
  for (const auto& node : nodes_) node->stop();
  removed->options.force_new_cluster = true;
  ASSERT_EQ(removed->start(), Status());
  ASSERT_TRUE(eventually([&] { return removed->member->leader() == removed->member->id(); }));
  EXPECT_EQ(get(*removed->member, "k").response.kvs_size(), 1);
  EXPECT_EQ(list(*removed).size(), 1u);
  EXPECT_EQ(put(*removed->member, "k", "w").status, Status());
}

TEST(ForceNewCluster, Needs_data) {
  const TempDirectory directory;
  Node node(quick_options(directory.path(), "m1", local_url()));
  node.options.force_new_cluster = true;
  const Status status = node.start();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_NE(status.text().find("--force-new-cluster needs a member's data"), std::string::npos);
}

TEST(LoneMemberChange, Grows_to_two_and_refuses_to_lose_itself) {
  const TempDirectory directory;
  Node node(quick_options(directory.path(), "m1", local_url()));
  ASSERT_EQ(node.start(), Status());
  const auto alone = [&] {
    MemberListRequest request;
    const auto answer = call(*node.member, &Member::member_list, request);
    return answer.response.members_size() == 1 && !answer.response.members(0).name().empty();
  };
  ASSERT_TRUE(eventually(alone));
  MemberRemoveRequest remove;
  remove.set_id(node.member->id());
  EXPECT_EQ(call(*node.member, &Member::member_remove, remove).status, errors::not_enough_started());
  MemberAddRequest add;
  add.add_peerurls(local_url());
  const auto added = call(*node.member, &Member::member_add, add);
  ASSERT_EQ(added.status, Status());
  EXPECT_EQ(added.response.members_size(), 2);
}

}  // namespace
}  // namespace kv::server
