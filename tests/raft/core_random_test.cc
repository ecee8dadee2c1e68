// A cluster to which everything happens that may: messages lost, doubled, out of order; members crashing, cut off, slow
// to write or to apply; reads, transfers, snapshots, changes of members. After every step what Raft promises must hold
// (3.2, figure 3.2); at the end, when the trouble stops, the cluster must work again. A failure names its seed.
//
// tests/sim does the same at greater length and with more of the real parts; this one needs nothing but the core.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/random.h"
#include "raft/core_cluster.h"

namespace kv::raft {
namespace {

using test::Cluster;
using test::Node;

constexpr uint64_t kNodes = 5;

class Trouble {
 public:
  // Over all seeds: that something happened at all.
  static inline uint64_t total_served = 0;
  static inline uint64_t total_applied = 0;
  static inline uint64_t total_terms = 0;

  explicit Trouble(uint64_t seed)
      : random_(seed), cluster_([this](const std::string& line) { trace_ += line + "\n"; }) {
    cluster_.on_apply = [this](NodeId id, const Entry& entry) { applied(id, entry); };
    cluster_.on_read = [this](NodeId id, const ReadState& read) { answered(id, read); };
    CoreOptions options;
    options.pre_vote = !random_.one_in(4);
    options.check_quorum = !random_.one_in(4);
    options.max_append_bytes = random_.one_in(2) ? 100 : 1 << 20;
    options.max_inflight_appends = random_.one_in(2) ? 2 : 256;
    options.max_committed_bytes = random_.one_in(2) ? 150 : 1 << 20;
    options.max_cached_bytes = random_.one_in(2) ? 100 : 1 << 20;
    Configuration initial;
    const uint64_t voters = 1 + random_.below(4);
    for (uint64_t i = 1; i <= voters; ++i) initial.voters.push_back(NodeId(i));
    for (uint64_t i = 1; i <= kNodes; ++i) {
      cluster_.add(NodeId(i), [&](Node& node) {
        node.options = options;
        node.options.id = NodeId(i);
        node.options.seed = random_.next();
        if (i <= voters) node.machine.configuration = initial;
      });
    }
  }

  void run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      step();
      work();
      look();
    }
    if (!testing::Test::HasFailure()) settle();
    if (testing::Test::HasFailure()) {
      // The last of it is what matters.
      for (const NodeId id : cluster_.ids()) {
        if (!cluster_.running(id)) continue;
        const CoreStatus status = cluster_.node(id).core->status();
        trace_ += to_string(id) + " is " + std::string(role_name(status.soft_state.role)) + " in term " +
                  to_string(status.term) + ", commit " + to_string(status.commit) + " of " +
                  to_string(status.last_index) + " " + Cluster::describe(status.configuration) + "\n";
        for (const PeerStatus& peer : status.peers) {
          trace_ += "  " + to_string(peer.id) + " state " + std::to_string(static_cast<int>(peer.state)) + " match " +
                    to_string(peer.match) + " next " + to_string(peer.next) + "\n";
        }
      }
      std::cerr << trace_.substr(trace_.size() -
                                 std::min<size_t>(trace_.size(), std::getenv("KVD_SEED") ? SIZE_MAX : 6000))
                << "\n";
    }
  }

 private:
  NodeId any() { return NodeId(1 + random_.below(kNodes)); }
  Payload payload() { return std::make_shared<const std::string>("p" + std::to_string(++proposals_)); }

  void step() {
    const NodeId id = any();
    const NodeId other = any();
    if (!cluster_.running(id)) {
      if (random_.one_in(10)) cluster_.start(id);
      return;
    }
    Node& node = cluster_.node(id);
    Core& core = *node.core;
    switch (random_.below(20)) {
      case 0:
      case 1:
      case 2: core.tick(); break;
      case 3:
        // Time passes for all.
        for (const NodeId each : cluster_.ids()) {
          if (cluster_.running(each)) cluster_.node(each).core->tick();
        }
        break;
      case 4:
      case 5: (void)core.propose(payload()); break;
      case 6: {
        reads_[++next_read_] = {id, committed()};
        core.read_index(next_read_);
        break;
      }
      case 7:
        if (random_.one_in(3)) change(core);
        break;
      case 8:
        if (random_.one_in(4)) core.transfer_leadership(other);
        break;
      case 9:
        if (random_.one_in(15)) {
          stop(id);
          if (random_.one_in(2)) cluster_.start(id);
        }
        break;
      case 10:
        if (random_.one_in(6)) {
          cluster_.cut(id, other);
          if (random_.one_in(2)) cluster_.cut(other, id);
        } else if (random_.one_in(3)) {
          cluster_.heal();
        }
        break;
      case 11:
        if (node.machine.applied > node.log.snapshot().index && random_.one_in(3)) {
          const uint64_t range = node.machine.applied - node.log.snapshot().index;
          compact(node, node.log.snapshot().index + 1 + random_.below(range));
        }
        break;
      case 12:
        if (random_.one_in(4)) core.unreachable(other);
        if (random_.one_in(8)) core.stream_lost(other);
        break;
      case 13:
        if (random_.one_in(30)) core.step_down();
        break;
      case 14: node.hold_disk = random_.one_in(3); break;
      case 15: node.hold_apply = random_.one_in(3); break;
      case 16: node.hold_install = random_.one_in(2); break;
      case 17:
        if (node.installing && random_.one_in(3)) {
          random_.one_in(4) ? cluster_.fail_install(id) : cluster_.install(id);
        }
        break;
      default: break;
    }
  }

  // What goes on beside the trouble.
  void work() {
    for (int i = 0; i < 3; ++i) {
      const NodeId id = any();
      if (!cluster_.running(id)) continue;
      if (random_.one_in(2)) cluster_.ready(id);
      if (random_.one_in(3)) cluster_.persist(id);
      if (random_.one_in(3)) cluster_.apply(id, 1 + random_.below(5));
    }
    for (int i = 0; i < 6; ++i) network(any(), any());
  }

  void network(NodeId from, NodeId to) {
    std::deque<Message>& waiting = cluster_.queue(from, to);
    if (waiting.empty()) return;
    if (waiting.size() > 50) waiting.pop_front();
    switch (random_.below(30)) {
      case 0: cluster_.drop(from, to); return;
      case 1: waiting.push_back(waiting[random_.below(waiting.size())]); return;
      case 2: std::swap(waiting.front(), waiting[random_.below(waiting.size())]); return;
      default: cluster_.deliver(from, to);
    }
  }

  void change(Core& core) {
    ConfigChange change;
    const uint64_t count = 1 + random_.below(2);
    for (uint64_t i = 0; i < count; ++i) {
      change.changes.push_back({static_cast<ChangeType>(random_.below(3)), any()});
    }
    change.joint = random_.one_in(5);
    if (random_.one_in(3)) change = {.changes = {}, .leave_joint = true, .context = {}};
    (void)core.propose_change(change);
  }

  void compact(Node& node, Index index) {
    // The configuration of the snapshot is that of `index`, which only a snapshot at the applied index has for sure.
    if (index == node.machine.applied) cluster_.compact(node.options.id, index);
  }

  void stop(NodeId id) {
    cluster_.stop(id);
    cluster_.node(id).options.seed = random_.next();
    // With the member its reads are gone.
    std::erase_if(reads_, [&](const auto& read) { return read.second.at == id; });
  }

  // The highest index that anybody knows to be committed: what a client may have been told.
  Index committed() {
    Index highest;
    for (const NodeId id : cluster_.ids()) {
      if (cluster_.running(id)) highest = std::max(highest, cluster_.node(id).core->commit());
      highest = std::max(highest, cluster_.node(id).machine.applied);
    }
    return highest;
  }

  // ---- what must hold ----

  void applied(NodeId id, const Entry& entry) {
    // State machine safety: nobody applies another entry at this index, ever.
    const auto [known, first] = history_.emplace(entry.index, entry);
    ASSERT_EQ(known->second, entry) << "node " << id << " applies another entry " << entry.index;
  }

  void answered(NodeId id, const ReadState& read) {
    const auto asked = reads_.find(read.id);
    ASSERT_NE(asked, reads_.end()) << "read " << read.id << " is answered twice";
    ASSERT_EQ(asked->second.at, id);
    if (read.index) {
      ASSERT_GE(read.index, asked->second.committed) << "a stale read on node " << id;
      ++served_;
    }
    reads_.erase(asked);
  }

  void look() {
    for (const NodeId id : cluster_.ids()) {
      if (!cluster_.running(id)) continue;
      const Node& node = cluster_.node(id);
      if (!node.core->is_leader()) continue;
      // Election safety: one leader a term.
      const auto [known, first] = leaders_.emplace(node.core->term(), id);
      ASSERT_EQ(known->second, id) << "two leaders in term " << node.core->term();
    }
  }

  // The trouble is over: nothing is lost any more, everybody runs. The members must agree on a leader and on
  // everything.
  void settle() {
    cluster_.heal();
    for (const NodeId id : cluster_.ids()) {
      Node& node = cluster_.node(id);
      node.hold_disk = node.hold_apply = node.hold_install = false;
      if (!node.core) cluster_.start(id);
      while (cluster_.persist(id)) {
      }
      cluster_.apply(id);
      if (node.installing) cluster_.install(id);
    }
    NodeId leader;
    bool done = false;
    for (int round = 0; round < 400 && !done; ++round) {
      for (const NodeId id : cluster_.ids()) cluster_.node(id).core->tick();
      ASSERT_TRUE(cluster_.stabilize()) << "this does not come to rest";
      look();
      if (testing::Test::HasFailure()) return;
      leader = NodeId(0);
      for (const NodeId id : cluster_.ids()) {
        if (cluster_.node(id).core->is_leader()) leader = id;
      }
      if (!leader) continue;
      // A leader that is deposed meanwhile may lose what it had appended: propose to each anew.
      if (const Term term = cluster_.node(leader).core->term(); term != final_term_) {
        if (cluster_.node(leader).core->propose(payload()).ok()) {
          final_ = proposals_;
          final_term_ = term;
        }
        continue;
      }
      done = converged(leader);
    }
    ASSERT_TRUE(done) << "no agreement after the trouble was over";
    // A read whose question was lost is given up after an election timeout.
    for (int round = 0; round < 20 && !reads_.empty(); ++round) {
      for (const NodeId id : cluster_.ids()) cluster_.node(id).core->tick();
      ASSERT_TRUE(cluster_.stabilize());
    }
    ASSERT_TRUE(reads_.empty()) << "read " << reads_.begin()->first << " was dropped in silence";
    total_served += served_;
    total_applied += history_.size();
    total_terms += leaders_.size();
  }

  bool converged(NodeId leader) {
    const CoreStatus status = cluster_.node(leader).core->status();
    const test::Machine& machine = cluster_.node(leader).machine;
    if (std::find(machine.commands.begin(), machine.commands.end(), "p" + std::to_string(final_)) ==
        machine.commands.end()) {
      return false;
    }
    for (const PeerStatus& peer : status.peers) {
      const test::Machine& other = cluster_.node(peer.id).machine;
      if (other.commands != machine.commands || !(other.configuration == machine.configuration)) return false;
    }
    return !(machine.configuration.joint() && machine.configuration.auto_leave);
  }

  Random random_;
  std::string trace_;
  Cluster cluster_;
  std::map<Index, Entry> history_;
  std::map<Term, NodeId> leaders_;
  struct Read {
    NodeId at;
    Index committed;  // by anybody, when it was asked
  };
  std::map<uint64_t, Read> reads_;
  uint64_t next_read_ = 0;
  uint64_t served_ = 0;
  uint64_t proposals_ = 0;
  uint64_t final_ = 0;
  Term final_term_;
};

class RaftRandom : public testing::TestWithParam<uint64_t> {};

TEST_P(RaftRandom, Keeps_its_promises_and_recovers) {
  // KVD_SEEDS=N runs as many in each test, KVD_SEED=S that one alone and with its whole trace.
  const char* only = std::getenv("KVD_SEED");
  const char* many = std::getenv("KVD_SEEDS");
  const uint64_t count = many ? std::strtoull(many, nullptr, 10) : 100;
  for (uint64_t i = 0; i < count && !HasFailure(); ++i) {
    const uint64_t seed = only ? std::strtoull(only, nullptr, 10) : GetParam() * count + i;
    SCOPED_TRACE("seed " + std::to_string(seed) + "; KVD_SEED runs it alone");
    Trouble(seed).run(3000);
    if (only) return;
  }
  RecordProperty("applied", std::to_string(Trouble::total_applied));
  RecordProperty("terms", std::to_string(Trouble::total_terms));
  RecordProperty("reads", std::to_string(Trouble::total_served));
  std::cerr << Trouble::total_applied << " entries, " << Trouble::total_terms << " terms, " << Trouble::total_served
            << " reads\n";
}

INSTANTIATE_TEST_SUITE_P(Seeds, RaftRandom, testing::Range<uint64_t>(0, 4));

}  // namespace
}  // namespace kv::raft
