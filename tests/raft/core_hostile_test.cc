// Messages that no honest member sends. Whatever arrives, the core must not abort, must not go back on what it has
// promised (term, vote, commit index, entries that were handed out), and must hand out something to do only when there
// is.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "raft/core_cluster.h"

namespace kv::raft {
namespace {

using test::MemoryLog;

// One member and its driver, which does all that a driver must, late and in pieces.
class Victim {
 public:
  explicit Victim(uint64_t seed) : random_(seed) {
    options_.id = NodeId(1);
    options_.seed = random_.next();
    options_.pre_vote = random_.one_in(2);
    options_.check_quorum = random_.one_in(2);
    options_.max_cached_bytes = random_.one_in(2) ? 100 : 1 << 20;
    options_.max_append_bytes = 200;
    options_.max_inflight_appends = 3;
    options_.max_pending_reads = 5;
    options_.max_uncommitted_bytes = 1000;
    // Mostly one of three; sometimes alone, so that it leads; sometimes one who joins.
    const uint64_t kind = random_.below(4);
    if (kind > 0) configuration_.voters.push_back(NodeId(1));
    if (kind > 1) configuration_.voters.insert(configuration_.voters.end(), {NodeId(2), NodeId(3)});
    if (kind == 3) configuration_.learners.push_back(NodeId(4));
    start();
  }

  void run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      switch (random_.below(12)) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4: core_->step(garbage()); break;
        case 5: core_->tick(); break;
        case 6: input(); break;
        case 7:
          if (!writes_.empty()) persist();
          break;
        case 8:
          if (!to_apply_.empty()) apply();
          break;
        default: ready(); break;
      }
      const CoreStatus status = core_->status();
      ASSERT_GE(status.term, term_);
      ASSERT_GE(status.commit, commit_);
      ASSERT_GE(status.last_index, status.commit);
      if (status.term == term_ && vote_) {
        ASSERT_EQ(status.vote, vote_) << "a vote given twice in term " << term_;
      }
      term_ = status.term;
      vote_ = status.vote;
      commit_ = status.commit;
    }
  }

  bool led = false;
  bool followed = false;
  bool installed = false;

 private:
  void start() {
    core_ = std::make_unique<Core>(
        options_, InitialState{.hard_state = hard_state_, .configuration = configuration_, .applied = applied_}, log_);
  }

  // Numbers near those that matter, and far from them.
  uint64_t number(std::initializer_list<uint64_t> near) {
    if (random_.one_in(30)) return random_.next() >> random_.below(64);
    const uint64_t base = *(near.begin() + static_cast<std::ptrdiff_t>(random_.below(near.size())));
    return base + random_.below(4) - std::min<uint64_t>(base, random_.below(4));
  }
  Index index() {
    const CoreStatus s = core_->status();
    return Index(number({0, s.commit.value(), s.last_index.value(), s.applied.value()}));
  }
  Term term() { return Term(number({0, core_->term().value(), core_->term().value()})); }
  NodeId node() { return NodeId(random_.below(6)); }
  bool coin() { return random_.one_in(2); }
  Payload payload() {
    if (random_.one_in(10)) return nullptr;
    return std::make_shared<const std::string>(random_.below(40), 'x');
  }
  std::vector<NodeId> nodes() {
    std::vector<NodeId> out;
    for (uint64_t i = random_.below(4); i > 0; --i) out.push_back(node());
    if (!random_.one_in(3)) std::sort(out.begin(), out.end());
    return out;
  }

  Message garbage() {
    Message m{.from = node(), .to = random_.one_in(30) ? node() : NodeId(1), .term = term(), .body = TimeoutNow{}};
    // Half the time it claims to be in the right term and from the right place, to get far.
    if (coin()) m.term = core_->term();
    if (coin() && core_->leader() && core_->leader() != NodeId(1)) m.from = core_->leader();
    const CoreStatus s = core_->status();
    // Elected it has more to lose: votes that fit, now and then.
    const Role role = s.soft_state.role;
    if ((role == Role::kPreCandidate || role == Role::kCandidate) && random_.one_in(3)) {
      const bool pre_vote = role == Role::kPreCandidate;
      m.term = pre_vote ? s.term + 1 : s.term;
      m.body = VoteReply{.pre_vote = pre_vote, .granted = true, .commit = {}, .commit_term = {}};
      return m;
    }
    switch (random_.below(12)) {
      case 0: m.body = VoteRequest{coin(), coin(), index(), term(), index(), term()}; break;
      case 1: m.body = VoteReply{coin(), coin(), index(), term()}; break;
      case 2:
      case 3: {
        AppendRequest append{index(), term(), index(), {}};
        // Often one that fits, or nothing would ever be appended.
        if (coin()) {
          append.previous_index = coin() ? s.last_index : s.commit;
          append.previous_term = log_.term(append.previous_index).value_or(term());
        }
        const uint64_t count = random_.below(5);
        Term last = append.previous_term;
        for (uint64_t i = 1; i <= count; ++i) {
          last = coin() ? last : std::max(last, m.term);
          const auto type = static_cast<EntryType>(random_.one_in(10) ? random_.below(5) : random_.below(3));
          append.entries.push_back({.index = random_.one_in(20) ? index() : append.previous_index + i,
                                    .term = random_.one_in(10) ? term() : last,
                                    .type = type,
                                    .data = payload()});
        }
        m.body = append;
        break;
      }
      case 4: m.body = AppendReply{coin(), index(), index(), term()}; break;
      case 5: m.body = Heartbeat{index(), random_.below(5)}; break;
      case 6: m.body = HeartbeatReply{random_.below(5)}; break;
      case 7: m.body = ReadIndexRequest{random_.below(5)}; break;
      case 8: m.body = ReadIndexReply{random_.below(5), index()}; break;
      case 9: m.body = Forward{static_cast<EntryType>(random_.below(4)), payload()}; break;
      case 10: {
        Configuration configuration{.voters = nodes(),
                                    .outgoing = coin() ? nodes() : std::vector<NodeId>{},
                                    .learners = coin() ? nodes() : std::vector<NodeId>{},
                                    .learners_next = random_.one_in(4) ? nodes() : std::vector<NodeId>{},
                                    .auto_leave = coin()};
        m.body = SnapshotOffer{{index(), term(), configuration}};
        break;
      }
      default:
        if (coin()) {
          m.body = SnapshotReply{coin(), index()};
        } else {
          m.body = TimeoutNow{};
        }
    }
    return m;
  }

  void input() {
    switch (random_.below(9)) {
      case 0: (void)core_->propose(std::make_shared<const std::string>(random_.below(40), 'y')); break;
      case 1: core_->read_index(++reads_); break;
      case 2: core_->transfer_leadership(node()); break;
      case 3: core_->campaign(); break;
      case 4: core_->unreachable(node()); break;
      case 5: core_->stream_lost(node()); break;
      case 6:
        (void)core_->propose_change({.changes = {{static_cast<ChangeType>(random_.below(3)), node()}}, .context = {}});
        break;
      case 7:
        if (random_.one_in(5)) core_->step_down();
        break;
      case 8:
        if (random_.one_in(5)) restart();
        break;
    }
  }

  void restart() {
    // What was taken and not confirmed is lost; a snapshot under way too.
    core_.reset();
    writes_.clear();
    to_apply_.clear();
    installing_.reset();
    options_.seed = random_.next();
    term_ = Term(0);
    vote_ = NodeId(0);
    commit_ = Index(0);
    handed_out_ = applied_;
    start();
  }

  void ready() {
    if (!core_->has_ready()) return;
    Ready ready = core_->take_ready();
    ASSERT_TRUE(ready.soft_state || ready.hard_state || !ready.entries.empty() || !ready.messages.empty() ||
                !ready.messages_after_persist.empty() || !ready.committed.empty() || !ready.reads.empty() ||
                ready.snapshot_to_install)
        << "a Ready with nothing in it";
    if (ready.soft_state) {
      led |= ready.soft_state->role == Role::kLeader && configuration_.voters.size() > 1;
      followed |= ready.soft_state->role == Role::kFollower && ready.soft_state->leader;
    }
    for (const Message& m : ready.messages) ASSERT_EQ(m.from, NodeId(1));
    for (const Entry& entry : ready.entries) ASSERT_TRUE(entry.data) << "an entry without bytes leaves the core";
    for (const Entry& entry : ready.committed) {
      ASSERT_EQ(entry.index, ++handed_out_) << "committed entries are handed out in order, once";
    }
    to_apply_.insert(to_apply_.end(), ready.committed.begin(), ready.committed.end());
    if (ready.snapshot_to_install) {
      ASSERT_FALSE(installing_) << "one snapshot at a time";
      installing_ = ready.snapshot_to_install;
    }
    writes_.push_back(std::move(ready));
    if (installing_ && random_.one_in(3)) install();
  }

  void persist() {
    log_.append(writes_.front().entries);
    if (writes_.front().hard_state) hard_state_ = *writes_.front().hard_state;
    const uint64_t number = writes_.front().number;
    writes_.pop_front();
    core_->persisted(number);
  }

  void apply() {
    const Entry entry = to_apply_.front();
    to_apply_.erase(to_apply_.begin());
    if (entry.type == EntryType::kConfigChange) {
      if (const auto change = decode_config_change(*entry.data)) configuration_ = core_->apply_change(*change);
    }
    applied_ = entry.index;
    core_->applied(applied_);
    if (random_.one_in(20) && log_.term(applied_)) {
      const SnapshotMeta meta{applied_, *log_.term(applied_), configuration_};
      log_.truncate_prefix(meta);
      core_->log_compacted(meta);
    }
  }

  void install() {
    if (random_.one_in(3)) {
      installing_.reset();
      core_->snapshot_failed();
      return;
    }
    while (!writes_.empty()) persist();
    to_apply_.clear();
    SnapshotMeta meta = *installing_;
    meta.index = meta.index + random_.below(3);
    log_.truncate_prefix(meta);
    applied_ = handed_out_ = meta.index;
    configuration_ = meta.configuration;
    installing_.reset();
    installed = true;
    core_->snapshot_installed(meta);
  }

  Random random_;
  CoreOptions options_;
  MemoryLog log_;
  HardState hard_state_;
  Configuration configuration_;
  Index applied_;
  std::unique_ptr<Core> core_;
  std::deque<Ready> writes_;
  std::vector<Entry> to_apply_;
  std::optional<SnapshotMeta> installing_;
  Index handed_out_;
  uint64_t reads_ = 0;
  Term term_;
  NodeId vote_;
  Index commit_;
};

TEST(HostileMessages, Never_abort_the_core_nor_make_it_break_a_promise) {
  int led = 0;
  int followed = 0;
  int installed = 0;
  const char* only = std::getenv("KVD_SEED");
  const char* many = std::getenv("KVD_SEEDS");
  const uint64_t count = many ? std::strtoull(many, nullptr, 10) : 500;
  for (uint64_t seed = 1; seed <= count && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Victim victim(only ? std::strtoull(only, nullptr, 10) : seed);
    victim.run(2000);
    led += victim.led;
    followed += victim.followed;
    installed += victim.installed;
    if (only) return;
  }
  // The garbage got somewhere.
  EXPECT_GT(led, 100);
  EXPECT_GT(followed, 300);
  EXPECT_GT(installed, 100);
}

}  // namespace
}  // namespace kv::raft
