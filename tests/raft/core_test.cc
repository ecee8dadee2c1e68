// What scenario files can't show well: numbers, limits, determinism.
#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "raft/core_cluster.h"

namespace kv::raft {
namespace {

using test::Cluster;
using test::Node;

Payload bytes(std::string text) { return std::make_shared<const std::string>(std::move(text)); }

std::vector<NodeId> ids(std::initializer_list<uint64_t> numbers) {
  std::vector<NodeId> out;
  for (const uint64_t n : numbers) out.push_back(NodeId(n));
  return out;
}

void add_voters(Cluster& cluster, std::initializer_list<uint64_t> voters) {
  for (const uint64_t id : voters) {
    cluster.add(NodeId(id), [&](Node& n) { n.machine.configuration.voters = ids(voters); });
  }
}

TEST(Core, Elects_replicates_commits_and_applies) {
  Cluster cluster;
  add_voters(cluster, {1, 2, 3});
  cluster.node(NodeId(1)).core->campaign();
  ASSERT_TRUE(cluster.stabilize());
  ASSERT_TRUE(cluster.node(NodeId(1)).core->is_leader());
  for (const char* text : {"a", "b", "c"}) {
    const Result<Index> index = cluster.node(NodeId(1)).core->propose(bytes(text));
    ASSERT_TRUE(index.ok()) << index.status().to_string();
  }
  ASSERT_TRUE(cluster.stabilize());
  for (const NodeId id : cluster.ids()) {
    EXPECT_EQ(cluster.node(id).machine.commands, (std::vector<std::string>{"a", "b", "c"})) << id;
    EXPECT_EQ(cluster.node(id).core->commit(), Index(4)) << id;
  }
}

TEST(Core, Single_member_needs_one_ready_to_write_and_one_to_commit) {
  Cluster cluster;
  add_voters(cluster, {1});
  Node& node = cluster.node(NodeId(1));
  node.core->campaign();
  ASSERT_TRUE(cluster.stabilize());
  ASSERT_TRUE(node.core->is_leader());

  ASSERT_TRUE(node.core->propose(bytes("a")).ok());
  ASSERT_TRUE(node.core->has_ready());
  Ready write = node.core->take_ready();
  EXPECT_EQ(write.entries.size(), 1U);
  EXPECT_TRUE(write.must_sync);
  EXPECT_TRUE(write.committed.empty()) << "nothing is committed before the disk has answered";
  EXPECT_FALSE(node.core->has_ready());
  node.log.append(write.entries);
  node.core->persisted(write.number);
  ASSERT_TRUE(node.core->has_ready());
  Ready commit = node.core->take_ready();
  ASSERT_EQ(commit.committed.size(), 1U);
  EXPECT_EQ(*commit.committed[0].data, "a");
  EXPECT_FALSE(commit.must_sync);
  EXPECT_FALSE(node.core->has_ready());
}

// Who looks at the status is not told that a living follower is silent because the leader has just counted.
TEST(Core, A_follower_shows_as_active_for_an_election_timeout_at_least_and_for_two_at_most) {
  Cluster cluster;
  add_voters(cluster, {1, 2, 3});
  Core& core = *cluster.node(NodeId(1)).core;
  core.campaign();
  ASSERT_TRUE(cluster.stabilize());
  ASSERT_TRUE(core.is_leader());
  const uint32_t timeout = cluster.node(NodeId(1)).options.election_ticks;
  const auto active = [&](size_t place) { return core.status().peers.at(place).recently_active; };
  for (uint32_t tick = 0; tick < 3 * timeout; ++tick) {
    core.tick();
    EXPECT_TRUE(active(0) && active(1)) << "after " << tick << " ticks";
    ASSERT_TRUE(cluster.stabilize());
  }
  cluster.cut(NodeId(1), NodeId(3));
  uint32_t silent = 0;
  for (; active(1) && silent < 10 * timeout; ++silent) {
    core.tick();
    EXPECT_TRUE(active(0));
    ASSERT_TRUE(cluster.stabilize());
  }
  EXPECT_GE(silent, timeout);
  EXPECT_LE(silent, 2 * timeout);
  EXPECT_TRUE(core.is_leader());
}

TEST(Core, Payloads_are_shared_and_never_copied) {
  Cluster cluster;
  add_voters(cluster, {1, 2});
  Core& leader = *cluster.node(NodeId(1)).core;
  leader.campaign();
  ASSERT_TRUE(cluster.stabilize());
  const Payload payload = bytes("hello");
  ASSERT_TRUE(leader.propose(payload).ok());
  const Ready ready = leader.take_ready();
  ASSERT_EQ(ready.entries.size(), 1U);
  EXPECT_EQ(ready.entries[0].data.get(), payload.get());
  ASSERT_EQ(ready.messages.size(), 1U);
  const auto& append = std::get<AppendRequest>(ready.messages[0].body);
  ASSERT_EQ(append.entries.size(), 1U);
  EXPECT_EQ(append.entries[0].data.get(), payload.get());
  // Ours, the log's, the write's, the message's.
  EXPECT_EQ(payload.use_count(), 4);
}

TEST(Core, The_answer_for_a_later_Ready_covers_all_before_it) {
  Cluster cluster;
  add_voters(cluster, {1});
  Node& node = cluster.node(NodeId(1));
  node.core->campaign();
  ASSERT_TRUE(cluster.stabilize());
  std::vector<Ready> readys;
  for (const char* text : {"a", "b", "c"}) {
    ASSERT_TRUE(node.core->propose(bytes(text)).ok());
    readys.push_back(node.core->take_ready());
    EXPECT_TRUE(readys.back().committed.empty());
  }
  node.core->persisted(readys[1].number);
  const Ready two = node.core->take_ready();
  ASSERT_EQ(two.committed.size(), 2U);
  EXPECT_EQ(*two.committed[1].data, "b");
  node.core->persisted(readys[2].number);
  node.core->persisted(readys[2].number);  // again: no harm
  const Ready three = node.core->take_ready();
  ASSERT_EQ(three.committed.size(), 1U);
  EXPECT_EQ(*three.committed[0].data, "c");
}

TEST(Core, One_Ready_carries_a_bounded_number_of_requests_to_a_follower_far_behind) {
  Cluster cluster;
  for (const uint64_t id : {1, 2}) {
    cluster.add(NodeId(id), [&](Node& n) {
      n.machine.configuration.voters = ids({1, 2});
      n.options.max_append_bytes = 40;  // one entry each
    });
  }
  Core& leader = *cluster.node(NodeId(1)).core;
  leader.campaign();
  ASSERT_TRUE(cluster.stabilize());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(leader.propose(bytes("x")).ok());
  size_t sent = 0;
  size_t readys = 0;
  while (leader.has_ready()) {
    const Ready ready = leader.take_ready();
    EXPECT_LE(ready.messages.size(), 8U);
    sent += ready.messages.size();
    ++readys;
  }
  EXPECT_EQ(sent, 100U);
  EXPECT_GE(readys, 13U);
}

// The number of ticks after which a follower with this seed stands for election.
uint32_t ticks_until_it_stands(uint64_t seed) {
  Cluster cluster;
  cluster.add(NodeId(1), [&](Node& n) {
    n.machine.configuration.voters = ids({1, 2, 3});
    n.options.seed = seed;
  });
  Core& core = *cluster.node(NodeId(1)).core;
  for (uint32_t ticks = 1; ticks < 100; ++ticks) {
    core.tick();
    if (core.status().soft_state.role != Role::kFollower) return ticks;
  }
  return 100;
}

TEST(Core, Stands_at_the_leaders_word_only) {
  Cluster cluster;
  add_voters(cluster, {1, 2, 3});
  cluster.node(NodeId(1)).core->campaign();
  ASSERT_TRUE(cluster.stabilize());
  Core& follower = *cluster.node(NodeId(2)).core;
  const auto timeout_now = [&](uint64_t from) {
    follower.step({.from = NodeId(from), .to = NodeId(2), .term = follower.term(), .body = TimeoutNow{}});
  };
  timeout_now(3);
  EXPECT_EQ(follower.status().soft_state.role, Role::kFollower);
  timeout_now(1);
  EXPECT_EQ(follower.status().soft_state.role, Role::kCandidate);
}

// A follower of three on its own, to which the test speaks as any leader it likes.
class Follower {
 public:
  explicit Follower(const std::function<void(Node&)>& prepare = {}) {
    cluster_.add(NodeId(1), [&](Node& n) {
      n.machine.configuration.voters = ids({1, 2, 3});
      if (prepare) prepare(n);
    });
  }
  Node& node() { return cluster_.node(NodeId(1)); }
  Core& core() { return *node().core; }
  void hear(uint64_t leader, uint64_t term, MessageBody body) {
    core().step({.from = NodeId(leader), .to = NodeId(1), .term = Term(term), .body = std::move(body)});
  }
  static Entry entry(uint64_t index, uint64_t term, EntryType type = EntryType::kCommand, std::string data = "x") {
    return {.index = Index(index), .term = Term(term), .type = type, .data = bytes(std::move(data))};
  }
  static AppendRequest append(uint64_t previous, uint64_t previous_term, uint64_t commit, std::vector<Entry> entries) {
    return {.previous_index = Index(previous),
            .previous_term = Term(previous_term),
            .commit = Index(commit),
            .entries = std::move(entries)};
  }
  static std::string a_change() {
    return encode(ConfigChange{.changes = {{ChangeType::kAddVoter, NodeId(4)}}, .context = {}});
  }
  // As a driver does: takes the offer, replaces the log, says so.
  void install(const SnapshotMeta& meta) {
    while (core().has_ready()) {
      const Ready ready = core().take_ready();
      node().log.append(ready.entries);
      core().persisted(ready.number);
    }
    node().log.truncate_prefix(meta);
    core().snapshot_installed(meta);
  }

 private:
  Cluster cluster_;
};

TEST(Core, Answers_each_leader_for_itself) {
  Follower follower;
  follower.hear(2, 1, Follower::append(0, 0, 0, {Follower::entry(1, 1)}));
  follower.hear(2, 1, Follower::append(1, 1, 0, {Follower::entry(2, 1)}));
  follower.hear(3, 2, Follower::append(0, 0, 0, {Follower::entry(1, 2)}));
  const Ready ready = follower.core().take_ready();
  const AppendReply up_to_2{.accepted = true, .index = Index(2), .hint_index = {}, .hint_term = {}};
  const AppendReply up_to_1{.accepted = true, .index = Index(1), .hint_index = {}, .hint_term = {}};
  ASSERT_EQ(ready.messages_after_persist.size(), 2U) << "one answer for two requests of one leader, one for the other";
  EXPECT_EQ(ready.messages_after_persist[0], (Message{NodeId(1), NodeId(2), Term(1), up_to_2}));
  EXPECT_EQ(ready.messages_after_persist[1], (Message{NodeId(1), NodeId(3), Term(2), up_to_1}));
}

TEST(Core, Appends_no_forwarded_configuration_change) {
  Cluster cluster;
  add_voters(cluster, {1, 2});
  Core& leader = *cluster.node(NodeId(1)).core;
  leader.campaign();
  ASSERT_TRUE(cluster.stabilize());
  const Index before = leader.status().last_index;
  for (const EntryType type : {EntryType::kConfigChange, EntryType::kNoop, EntryType::kCommand}) {
    leader.step({.from = NodeId(2),
                 .to = NodeId(1),
                 .term = leader.term(),
                 .body = Forward{.type = type, .data = bytes(Follower::a_change())}});
  }
  EXPECT_EQ(leader.status().last_index, before + 1) << "the command alone";
}

TEST(Core, A_snapshot_of_a_later_term_brings_the_term) {
  Follower follower;
  follower.hear(2, 1, SnapshotOffer{{Index(5), Term(1), follower.node().machine.configuration}});
  follower.install({Index(9), Term(4), follower.node().machine.configuration});
  EXPECT_EQ(follower.core().term(), Term(4));
  EXPECT_EQ(follower.core().leader(), NodeId(0)) << "whoever leads that term has not been heard of";
  const Ready ready = follower.core().take_ready();
  EXPECT_EQ(ready.hard_state, (HardState{Term(4), NodeId(0), Index(9)}));
}

TEST(Core, After_a_snapshot_nothing_of_the_old_log_is_pending) {
  Follower follower([](Node& n) { n.options.max_committed_bytes = 10; });
  // A change that is not committed, and an entry that is handed out and never applied: both gone with the log.
  follower.hear(2, 1, Follower::append(0, 0, 1, {Follower::entry(1, 1)}));
  follower.hear(2, 1,
                Follower::append(1, 1, 1, {Follower::entry(2, 1, EntryType::kConfigChange, Follower::a_change())}));
  Ready ready = follower.core().take_ready();
  follower.node().log.append(ready.entries);
  follower.core().persisted(ready.number);
  ready = follower.core().take_ready();
  ASSERT_EQ(ready.committed.size(), 1U);
  follower.core().persisted(ready.number);

  const SnapshotMeta meta{Index(5), Term(2), follower.node().machine.configuration};
  follower.hear(3, 2, SnapshotOffer{meta});
  follower.install(meta);
  follower.hear(3, 2, Follower::append(5, 2, 6, {Follower::entry(6, 2)}));
  ready = follower.core().take_ready();
  follower.node().log.append(ready.entries);
  follower.core().persisted(ready.number);
  ready = follower.core().take_ready();
  ASSERT_EQ(ready.committed.size(), 1U) << "what was never applied before does not count against the limit";
  EXPECT_EQ(ready.committed[0].index, Index(6));
  follower.core().campaign();
  EXPECT_EQ(follower.core().status().soft_state.role, Role::kPreCandidate) << "no change is unapplied";
}

TEST(Core, A_change_that_was_replaced_holds_nobody_back) {
  Follower follower;
  follower.hear(2, 1,
                Follower::append(0, 0, 0, {Follower::entry(1, 1, EntryType::kConfigChange, Follower::a_change())}));
  follower.hear(3, 2, Follower::append(0, 0, 1, {Follower::entry(1, 2)}));
  // Entry 1 is committed and not applied, but it is no change any more.
  EXPECT_EQ(follower.core().commit(), Index(1));
  follower.core().campaign();
  EXPECT_EQ(follower.core().status().soft_state.role, Role::kPreCandidate);
}

TEST(Core, Commits_no_further_than_the_request_reaches) {
  // What follows in the follower's log may be another leader's. The leader's limit of bytes, or an old request, may end
  // before it (3.5, figure 3.1: min(leaderCommit, index of last new entry)).
  Follower follower;
  follower.hear(2, 1, Follower::append(0, 0, 0, {Follower::entry(1, 1), Follower::entry(2, 1), Follower::entry(3, 1)}));
  follower.hear(3, 2, Follower::append(1, 1, 9, {Follower::entry(2, 1)}));
  EXPECT_EQ(follower.core().commit(), Index(2));
  EXPECT_EQ(follower.core().status().last_index, Index(3)) << "nothing conflicts so far";
  follower.hear(3, 2, Follower::append(2, 1, 9, {Follower::entry(3, 2)}));
  EXPECT_EQ(follower.core().commit(), Index(3));
}

TEST(Core, Forwards_a_bounded_number_of_bytes_in_one_Ready) {
  Follower follower([](Node& n) { n.options.max_inflight_bytes = 100; });
  EXPECT_EQ(follower.core().propose(bytes("x")).status().code(), Code::kUnavailable) << "no leader";
  follower.hear(2, 1, Heartbeat{});
  EXPECT_TRUE(follower.core().propose(bytes(std::string(1000, 'x'))).ok()) << "a lone one goes, however large";
  EXPECT_EQ(follower.core().propose(bytes("x")).status().code(), Code::kResourceExhausted);
  (void)follower.core().take_ready();
  EXPECT_TRUE(follower.core().propose(bytes("x")).ok());
}

TEST(Core, Takes_a_read_index_from_its_leader_only) {
  Follower follower;
  follower.hear(2, 1, Heartbeat{});
  follower.core().read_index(7);
  Ready ready = follower.core().take_ready();
  uint64_t batch = 0;
  for (const Message& m : ready.messages) {
    if (const auto* request = std::get_if<ReadIndexRequest>(&m.body)) batch = request->id;
  }
  ASSERT_NE(batch, 0U);
  follower.hear(3, 1, ReadIndexReply{.id = batch, .index = Index(1)});
  EXPECT_FALSE(follower.core().has_ready());
  follower.hear(2, 1, ReadIndexReply{.id = batch, .index = Index(5)});
  ready = follower.core().take_ready();
  ASSERT_EQ(ready.reads.size(), 1U);
  EXPECT_EQ(ready.reads[0], (ReadState{7, Index(5)}));
  follower.hear(2, 1, ReadIndexReply{.id = batch, .index = Index(9)});
  EXPECT_FALSE(follower.core().has_ready()) << "answered once";
}

TEST(Core, Refuses_followers_reads_above_the_limit) {
  Cluster cluster;
  for (const uint64_t id : {1, 2, 3}) {
    cluster.add(NodeId(id), [&](Node& n) {
      n.machine.configuration.voters = ids({1, 2, 3});
      n.options.max_pending_reads = 2;
    });
  }
  Core& leader = *cluster.node(NodeId(1)).core;
  leader.campaign();
  ASSERT_TRUE(cluster.stabilize());
  for (uint64_t id = 1; id <= 3; ++id) {
    leader.step({.from = NodeId(2), .to = NodeId(1), .term = leader.term(), .body = ReadIndexRequest{.id = id}});
  }
  const Ready ready = leader.take_ready();
  std::vector<uint64_t> refused;
  for (const Message& m : ready.messages) {
    if (const auto* reply = std::get_if<ReadIndexReply>(&m.body)) {
      EXPECT_EQ(reply->index, Index(0));
      refused.push_back(reply->id);
    }
  }
  EXPECT_EQ(refused, std::vector<uint64_t>{3});
}

TEST(Core, Election_timeouts_spread_over_one_to_two_election_ticks) {
  std::set<uint32_t> seen;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const uint32_t ticks = ticks_until_it_stands(seed);
    EXPECT_GE(ticks, 10U);
    EXPECT_LT(ticks, 20U);
    seen.insert(ticks);
  }
  EXPECT_EQ(seen.size(), 10U) << "every timeout comes up";
}

// ---- determinism ------------------------------------------------------------------------------------------------

// What a group does when everything is drawn from `script`, the cores' randomness aside.
std::string trace_of(uint64_t script, uint64_t core_seed) {
  std::string trace;
  Cluster cluster([&](const std::string& line) { trace += line + "\n"; });
  for (const uint64_t id : {1, 2, 3}) {
    cluster.add(NodeId(id), [&](Node& n) {
      n.machine.configuration.voters = ids({1, 2, 3});
      n.options.seed = core_seed + id;
    });
  }
  Random random(script);
  for (int step = 0; step < 3000; ++step) {
    const NodeId id(1 + random.below(3));
    const NodeId other(1 + random.below(3));
    Core& core = *cluster.node(id).core;
    switch (random.below(8)) {
      case 0: core.tick(); break;
      case 1: (void)core.propose(bytes("p" + std::to_string(step))); break;
      case 2: core.read_index(static_cast<uint64_t>(step)); break;
      case 3: cluster.ready(id); break;
      case 4:
        if (!cluster.queue(id, other).empty() && random.one_in(5)) cluster.drop(id, other);
        break;
      default:
        if (!cluster.queue(id, other).empty()) cluster.deliver(id, other);
    }
  }
  return trace;
}

TEST(Core, The_same_seeds_and_inputs_give_the_same_outputs) {
  for (uint64_t script = 1; script <= 20; ++script) {
    const std::string once = trace_of(script, 100);
    ASSERT_GT(once.size(), 10000U);
    EXPECT_EQ(once, trace_of(script, 100)) << script;
  }
  EXPECT_NE(trace_of(1, 100), trace_of(1, 200)) << "the seed matters";
}

// ---- what only a broken driver does -----------------------------------------------------------------------------

Node broken(const std::function<void(Node&)>& prepare) {
  Node node;
  node.options.id = NodeId(1);
  node.machine.configuration.voters = ids({1});
  prepare(node);
  return node;
}

void start(const Node& node) {
  const Core core(
      node.options,
      InitialState{
          .hard_state = node.hard_state, .configuration = node.machine.configuration, .applied = node.machine.applied},
      node.log);
}

TEST(CoreDeathTest, Refuses_to_start_from_a_state_that_contradicts_itself) {
  start(broken([](Node&) {}));
  EXPECT_DEATH(start(broken([](Node& n) { n.hard_state.commit = Index(1); })), "missing from the log");
  EXPECT_DEATH(start(broken([](Node& n) { n.machine.applied = Index(1); })), "does not continue");
  EXPECT_DEATH(start(broken([](Node& n) { n.log.truncate_prefix({Index(5), Term(1), {}}); })), "does not continue");
  EXPECT_DEATH(start(broken([](Node& n) { n.log.append({{.index = Index(1), .term = Term(2), .data = bytes("x")}}); })),
               "ahead of the term");
  EXPECT_DEATH(start(broken([](Node& n) { n.options.id = NodeId(0); })), "needs an id");
  EXPECT_DEATH(start(broken([](Node& n) { n.options.heartbeat_ticks = 10; })), "heard more often");
  EXPECT_DEATH(start(broken([](Node& n) { n.options.max_append_bytes = 0; })), "limit of 0");
  EXPECT_DEATH(start(broken([](Node& n) { n.machine.configuration.learners = ids({1}); })), "configuration");
}

TEST(CoreDeathTest, Refuses_acknowledgements_of_what_it_did_not_hand_out) {
  Cluster cluster;
  add_voters(cluster, {1});
  Core& core = *cluster.node(NodeId(1)).core;
  EXPECT_DEATH(core.persisted(1), "not handed out");
  EXPECT_DEATH(core.applied(Index(1)), "not handed out");
  EXPECT_DEATH(core.snapshot_failed(), "no snapshot");
  EXPECT_DEATH(core.snapshot_installed({Index(1), Term(1), {}}), "no snapshot");
  EXPECT_DEATH(core.log_compacted({Index(1), Term(1), {}}), "applied");
}

TEST(Core, Takes_its_term_from_a_snapshot_that_was_installed_before_the_hard_state_was_written) {
  Node node;
  node.options.id = NodeId(1);
  node.log.truncate_prefix({Index(5), Term(7), {}});
  node.machine.applied = Index(5);
  node.machine.configuration.voters = ids({1, 2});
  node.hard_state = {Term(3), NodeId(2), Index(2)};
  Core core(
      node.options,
      InitialState{
          .hard_state = node.hard_state, .configuration = node.machine.configuration, .applied = node.machine.applied},
      node.log);
  EXPECT_EQ(core.term(), Term(7));
  EXPECT_EQ(core.status().vote, NodeId(0)) << "the vote was one of term 3";
  EXPECT_EQ(core.commit(), Index(5));
  ASSERT_TRUE(core.has_ready());
  const Ready ready = core.take_ready();
  EXPECT_EQ(ready.hard_state, (HardState{Term(7), NodeId(0), Index(5)}));
  EXPECT_TRUE(ready.must_sync);
}

}  // namespace
}  // namespace kv::raft
