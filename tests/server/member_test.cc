#include "server/member.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "members_fixture.h"

namespace kv::server {
namespace {

TEST_P(LoneMember, Reads_what_it_wrote) {
  const auto member = start_and_wait();
  const auto written = put(*member, "k", "v");
  ASSERT_TRUE(written.status.ok()) << written.status.to_string();
  EXPECT_EQ(written.response.header().revision(), 2);
  EXPECT_EQ(written.response.header().member_id(), member->id());
  const auto read = get(*member, "k");
  ASSERT_TRUE(read.status.ok());
  ASSERT_EQ(read.response.kvs_size(), 1);
  EXPECT_EQ(read.response.kvs(0).value(), "v");
  EXPECT_EQ(read.response.header().cluster_id(), member->cluster_id());
}

TEST_P(LoneMember, Keeps_everything_over_a_restart) {
  uint64_t id = 0;
  {
    const auto member = start_and_wait();
    id = member->id();
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(put(*member, "k" + std::to_string(i), "v").status.ok());
    member->stop(100);
  }
  const auto member = start_and_wait();
  EXPECT_EQ(member->id(), id);
  EXPECT_EQ(get(*member, "k99").response.kvs_size(), 1);
  EXPECT_EQ(get(*member, "k99").response.header().revision(), 101);
  ASSERT_TRUE(put(*member, "k", "v").status.ok());
}

TEST_P(LoneMember, Compacts_history_by_itself) {
  options_.auto_compaction.retention = 300;
  const auto member = start_and_wait();
  etcdserverpb::RangeRequest old;
  old.set_key("k");
  old.set_revision(put(*member, "k", "first").response.header().revision());
  ASSERT_TRUE(put(*member, "k", "second").status.ok());
  ASSERT_TRUE(call(*member, &Member::range, old).status.ok()) << "younger than the retention";
  EXPECT_TRUE(eventually([&] { return call(*member, &Member::range, old).status.code() == Code::kOutOfRange; }));
  EXPECT_EQ(get(*member, "k").response.kvs(0).value(), "second");
}

TEST_P(LoneMember, Many_writers_get_each_their_own_revision) {
  const auto member = start_and_wait();
  constexpr int kThreads = 4, kEach = 200;
  std::vector<std::vector<int64_t>> revisions(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto answer = put(*member, "k" + std::to_string(t), std::to_string(i));
        if (answer.status.ok()) revisions[static_cast<size_t>(t)].push_back(answer.response.header().revision());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<int64_t> all;
  for (const auto& list : revisions) {
    EXPECT_EQ(list.size(), static_cast<size_t>(kEach));
    EXPECT_TRUE(std::is_sorted(list.begin(), list.end()));
    all.insert(all.end(), list.begin(), list.end());
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
  EXPECT_EQ(all.back(), kThreads * kEach + 1);
}

TEST_P(LoneMember, Refuses_what_is_too_large_or_wrong_in_etcds_words) {
  const auto member = start_and_wait();
  EXPECT_EQ(put(*member, "", "v").status, Status(Code::kInvalidArgument, "etcdserver: key is not provided"));
  EXPECT_EQ(put(*member, "k", std::string(2 << 20, 'x')).status,
            Status(Code::kInvalidArgument, "etcdserver: request is too large"));
  EXPECT_TRUE(put(*member, "k", std::string(1 << 20, 'x')).status.ok());
}

TEST_P(LoneMember, Refuses_more_than_may_wait) {
  options_.max_pending_calls = 1;
  const auto member = start_and_wait();
  // With one place, some of many writers at once must be told so, and none may hang.
  std::atomic<int> refused{0}, written{0}, other{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        const Status status = put(*member, "k", "v").status;
        if (status.ok())
          ++written;
        else if (status == Status(Code::kResourceExhausted, "etcdserver: too many requests"))
          ++refused;
        else
          ++other;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(written, 0);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(other, 0);
}

TEST_P(LoneMember, Introduces_itself_to_the_member_list) {
  const auto member = start_and_wait();
  ASSERT_TRUE(eventually([&] {
    const auto list = call(*member, &Member::member_list, etcdserverpb::MemberListRequest());
    return list.response.members_size() == 1 && list.response.members(0).clienturls_size() == 1;
  }));
  EXPECT_TRUE(eventually([&] { return member->cluster_version() == kClusterVersion; }));
}

TEST_P(LoneMember, Calls_after_a_stop_are_refused) {
  const auto member = start_and_wait();
  member->stop(100);
  EXPECT_EQ(put(*member, "k", "v").status.code(), Code::kUnavailable);
  EXPECT_EQ(get(*member, "k").status.code(), Code::kUnavailable);
}

INSTANTIATE_TEST_SUITE_P(PipelineThreads, LoneMember, testing::Values(1, 3));

TEST(MemberStart, Contradictions_are_refused_in_words) {
  const TempDirectory directory;
  auto options = quick_options(directory.path(), "m1", "http://127.0.0.1:" + std::to_string(free_port()));
  options.initial_cluster = {{"m2", options.initial_advertise_peer_urls}};
  const auto wrong_name = Member::start(options, must_not_fail);
  ASSERT_FALSE(wrong_name.ok());
  EXPECT_NE(wrong_name.status().text().find("does not contain this member's --name \"m1\""), std::string::npos);
  options.initial_cluster = {{"m1", {"http://127.0.0.1:1"}}};
  const auto wrong_url = Member::start(options, must_not_fail);
  ASSERT_FALSE(wrong_url.ok());
  EXPECT_NE(wrong_url.status().text().find("http://127.0.0.1:1"), std::string::npos);
}

TEST(MemberStart, A_directory_in_use_is_refused) {
  const TempDirectory directory;
  const auto options = quick_options(directory.path(), "m1", "http://127.0.0.1:" + std::to_string(free_port()));
  const auto first = start(options);
  const auto second = Member::start(options, must_not_fail);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), Code::kUnavailable) << second.status().to_string();
}

TEST_F(ThreeMembers, Every_member_writes_and_reads_linearizably) {
  for (size_t writer = 0; writer < 3; ++writer) {
    const std::string key = "k" + std::to_string(writer);
    const auto written = put(*members_[writer], key, "v");
    ASSERT_TRUE(written.status.ok()) << written.status.to_string();
    for (const auto& reader : members_) {
      const auto read = get(*reader, key);
      ASSERT_TRUE(read.status.ok()) << read.status.to_string();
      ASSERT_EQ(read.response.kvs_size(), 1);
      EXPECT_GE(read.response.header().revision(), written.response.header().revision());
    }
  }
}

TEST_F(ThreeMembers, A_transaction_that_only_compares_sees_every_write_before_it) {
  for (size_t i = 0; i < 60; ++i) {
    const auto written = put(*members_[i % 3], "k", std::to_string(i));
    ASSERT_TRUE(written.status.ok()) << written.status.to_string();
    etcdserverpb::TxnRequest request;
    etcdserverpb::Compare& compare = *request.add_compare();
    compare.set_target(etcdserverpb::Compare::MOD);
    compare.set_key("k");
    compare.set_mod_revision(written.response.header().revision());
    const auto compared = call(*members_[(i + 1) % 3], &Member::txn, request);
    ASSERT_TRUE(compared.status.ok()) << compared.status.to_string();
    ASSERT_TRUE(compared.response.succeeded()) << "a stale member compared, at step " << i;
  }
}

TEST_F(ThreeMembers, A_stopping_leader_hands_over_and_nothing_is_lost) {
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(put(*members_[0], "k" + std::to_string(i), "v").status.ok());
  const size_t old = leader_place();
  const uint64_t old_id = members_[old]->id();
  members_[old]->stop(2000);
  members_[old].reset();
  // Handed over, not timed out: the others know a new leader already, or at once.
  ASSERT_TRUE(eventually([&] { return agreed_leader() != 0 && agreed_leader() != old_id; }));
  const size_t other = old == 0 ? 1 : 0;
  EXPECT_EQ(put(*members_[other], "after", "v").status, Status());
  EXPECT_EQ(get(*members_[other], "k49").response.kvs_size(), 1);

  members_[old] = start(options_[old]);
  ASSERT_TRUE(eventually([&] { return agreed_leader() != 0; }));
  EXPECT_EQ(get(*members_[old], "after").response.kvs_size(), 1) << "the returned member must catch up";
}

// What a client sees of a change of leaders is a pause: what its member had sent to the last one in vain is sent to the
// next, and only that.
TEST_F(ThreeMembers, While_leadership_moves_every_write_is_answered_and_takes_effect_once) {
  constexpr int kWritersEach = 4, kMoves = 40;
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  std::vector<int64_t> written(3 * kWritersEach);
  for (size_t w = 0; w < written.size(); ++w) {
    writers.emplace_back([&, w] {
      for (; !stop; ++written[w]) {
        const Status status = put(*members_[w % 3], "k" + std::to_string(w), "v").status;
        EXPECT_EQ(status, Status());
        if (!status.ok()) return;
      }
    });
  }
  for (int i = 0; i < kMoves; ++i) {
    uint64_t leader = 0;
    EXPECT_TRUE(eventually([&] { return (leader = agreed_leader()) != 0; }));
    size_t old = 0;
    while (old < 2 && members_[old]->id() != leader) ++old;
    etcdserverpb::MoveLeaderRequest request;
    request.set_targetid(members_[(old + 1) % 3]->id());
    (void)call(*members_[old], &Member::move_leader, request);  // on a busy machine it may come to nothing
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
  for (size_t w = 0; w < written.size(); ++w) {
    if (written[w] == 0) continue;
    EXPECT_EQ(get(*members_[0], "k" + std::to_string(w)).response.kvs(0).version(), written[w]);
  }
}

TEST_F(ThreeMembers, Without_a_quorum_calls_time_out_and_hasleader_calls_fail_at_once) {
  const size_t left = leader_place();
  for (size_t i = 0; i < 3; ++i)
    if (i != left) members_[i].reset();
  ASSERT_TRUE(eventually([&] { return members_[left]->leader() == 0; })) << "check-quorum must end its leadership";
  auto context = std::make_shared<InlineCall>();
  context->has_leader = true;
  etcdserverpb::PutRequest request;
  request.set_key("k");
  EXPECT_EQ(call(*members_[left], &Member::put, request, context).status,
            Status(Code::kUnavailable, "etcdserver: no leader"));
  etcdserverpb::RangeRequest serializable;
  serializable.set_key("k");
  serializable.set_serializable(true);
  EXPECT_TRUE(call(*members_[left], &Member::range, serializable).status.ok()) << "serializable reads need nobody";
  EXPECT_EQ(put(*members_[left], "k", "v").status, Status(Code::kUnavailable, "etcdserver: request timed out"));
}

TEST_F(ThreeMembers, MoveLeader_moves_and_refuses_strangers) {
  const size_t old = leader_place();
  const size_t next = (old + 1) % 3;
  etcdserverpb::MoveLeaderRequest request;
  request.set_targetid(12345);
  EXPECT_EQ(call(*members_[old], &Member::move_leader, request).status.text(), "etcdserver: bad leader transferee");
  request.set_targetid(members_[next]->id());
  EXPECT_EQ(call(*members_[next], &Member::move_leader, request).status.text(), "etcdserver: not leader");
  const auto moved = call(*members_[old], &Member::move_leader, request);
  ASSERT_TRUE(moved.status.ok()) << moved.status.to_string();
  EXPECT_TRUE(eventually([&] { return agreed_leader() == members_[next]->id(); }));
}

TEST_F(ThreeMembers, HashKV_agrees_on_all_members) {
  for (int i = 0; i < 200; ++i)
    ASSERT_TRUE(put(*members_[static_cast<size_t>(i % 3)], "k" + std::to_string(i % 50), "v").status.ok());
  etcdserverpb::HashKVRequest request;
  request.set_revision(150);
  std::vector<uint32_t> hashes;
  for (const auto& member : members_) {
    ASSERT_TRUE(get(*member, "k").status.ok());  // a linearizable read: this member has applied all
    const auto answer = call(*member, &Member::hash_kv, request);
    ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
    hashes.push_back(answer.response.hash());
  }
  EXPECT_EQ(hashes[0], hashes[1]);
  EXPECT_EQ(hashes[0], hashes[2]);
}

}  // namespace
}  // namespace kv::server
