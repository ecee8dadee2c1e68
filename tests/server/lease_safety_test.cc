// No lease ends early on any member's clock. The real Lessor of three members on clocks that drift, under elections
// that the old leader hears of late, pauses, lost and delayed messages, and checkpoints. The log is a model of Raft's
// promises: an entry is committed in the term in which it was proposed, by the leader of that term, or not at all; and,
// because commands may be handed on by whoever held them, now and then one turns up again in an entry of a later term.
//
// What is checked: from when the last keep-alive that was answered arrived, or the grant was asked for, until the log
// ends the lease, the clocks of those who led have together counted its TTL. And a lease that nobody keeps alive does
// end.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <queue>
#include <set>

#include "base/random.h"
#include "server/lessor.h"

namespace kv::server {
namespace {

using raft::Term;

// Rules that a member could break, each to see that the check notices.
enum class Break {
  kNone,
  kAnswerWithoutConfirmation,  // a keep-alive is answered by whoever believes to lead
  kTermIsNotChecked,           // a command of an earlier leader has its effect
  kLeadTooSoon,                // time counts from the election, not from when all before is applied
  kRestIsNotCleared,           // a keep-alive is answered although a rest is noted, or may be
};

struct WorldOptions {
  Break broken = Break::kNone;
  bool checkpoints = true;
  int64_t checkpoint_interval_ms = 3000;
  int64_t min_reign_ms = 1000, max_reign_ms = 15'000;
  bool pauses = true;
  bool drift = true;
  bool keep_alives = true;
};

class World {
 public:
  World(uint64_t seed, const WorldOptions& options) : random_(seed), options_(options) {
    Lessor::Options lessor;
    lessor.checkpoints = options.checkpoints;
    lessor.checkpoint_interval_ms = options.checkpoint_interval_ms;
    for (int i = 0; i < 3; ++i) {
      auto& m = members_.emplace_back(std::make_unique<Member>(lessor));
      m->rate = options.drift ? 0.5 + static_cast<double>(random_.below(1500)) / 1000 : 1.0;
      m->offset_ms = static_cast<double>(random_.below(1'000'000));
      every(100'000, i, [this, i] { look_for_due(i); });
    }
    elect();
    every(60'000, -1, [this] { client(); });
  }

  // Lets so much time pass.
  void run(int64_t ms) {
    const int64_t end = now_us_ + ms * 1000;
    while (!events_.empty() && events_.top().at_us <= end && trouble_.empty()) {
      const Event event = events_.top();
      events_.pop();
      now_us_ = event.at_us;
      if (event.member >= 0 && members_[event.member]->paused_until_us > now_us_) {
        at(members_[event.member]->paused_until_us, event.member, event.work);
        continue;
      }
      event.work();
    }
    now_us_ = end;
  }
  void calm_down() {
    clients_act_ = elections_ = false;
    options_.pauses = false;
  }
  void calm_clients() { clients_act_ = false; }
  void grant_one(int64_t ttl_s) { grant(ttl_s); }

  const std::string& trouble() const { return trouble_; }
  size_t leases() const { return truth_.size(); }
  int64_t expired() const { return expired_; }
  int64_t renewed() const { return renewed_; }
  int64_t checkpointed() const { return checkpointed_; }
  int64_t terms() const { return static_cast<int64_t>(reigns_.size()); }
  int64_t stale_commands() const { return stale_commands_; }
  int64_t now_ms() const { return now_us_ / 1000; }

 private:
  struct Entry {
    Term term;
    kvdpb::Command command;  // none: the entry with which a leader begins
  };
  struct Member {
    explicit Member(const Lessor::Options& options) : lessor(options) {}
    double rate = 1, offset_ms = 0;
    int64_t paused_until_us = 0;
    Term leads;  // as it believes
    size_t applied = 0;
    std::map<int64_t, store::Lease> state;
    Lessor lessor;
    int64_t last_commit_us = 0;  // of what it has proposed: in order
  };
  struct Reign {
    int member = 0;
    int64_t counts_from_us = -1;
    int64_t until_us = INT64_MAX;
  };
  struct Event {
    int64_t at_us;
    uint64_t order;
    int member;  // that is held up with it when it is paused; -1: nobody's
    std::function<void()> work;
    bool operator<(const Event& o) const { return std::tie(at_us, order) > std::tie(o.at_us, o.order); }
  };
  struct Known {  // of each lease there ever was
    int64_t ttl_s = 0;
    int64_t start_us = 0;
    int64_t end_us = -1;
    bool ended_by_time = false;
  };

  // ---- time ----

  void at(int64_t at_us, int member, std::function<void()> work) {
    events_.push({at_us, ++order_, member, std::move(work)});
  }
  void in(int64_t max_us, int member, std::function<void()> work) {
    at(now_us_ + 1 + static_cast<int64_t>(random_.below(static_cast<uint64_t>(max_us))), member, std::move(work));
  }
  void every(int64_t us, int member, std::function<void()> work) {
    at(now_us_ + us, member, [this, us, member, work = std::move(work)] {
      work();
      every(us, member, work);
    });
  }
  double exact_ms(int m, int64_t us) const {
    return members_[m]->offset_ms + static_cast<double>(us) / 1000 * members_[m]->rate;
  }
  int64_t clock_ms(int m) const { return static_cast<int64_t>(std::floor(exact_ms(m, now_us_))); }

  double counted_ms(int64_t from_us, int64_t to_us) const {
    double sum = 0;
    for (const Reign& reign : reigns_) {
      if (reign.counts_from_us < 0) continue;
      const int64_t from = std::max(from_us, reign.counts_from_us), to = std::min(to_us, reign.until_us);
      if (from < to) sum += exact_ms(reign.member, to) - exact_ms(reign.member, from);
    }
    return sum;
  }
  void fail(const std::string& what) {
    if (trouble_.empty()) trouble_ = "at " + std::to_string(now_us_) + " us: " + what;
  }

  // ---- who leads ----

  void elect() {
    if (!reigns_.empty()) reigns_.back().until_us = now_us_;
    const int chosen = static_cast<int>(random_.below(3));
    reigns_.push_back({chosen, -1, INT64_MAX});
    const Term term(reigns_.size());
    in(20'000, chosen, [this, chosen, term] { begin_to_lead(chosen, term); });
    for (int m = 0; m < 3; ++m) {
      if (m == chosen) continue;
      // The last leader may hear of it late.
      in(random_.one_in(3) ? 6'000'000 : 50'000, m, [this, m, term] {
        if (members_[m]->leads && members_[m]->leads < term) step_down(m);
      });
    }
    if (elections_) {
      const int64_t spread = options_.max_reign_ms - options_.min_reign_ms;
      at(now_us_ + 1000 * (options_.min_reign_ms + static_cast<int64_t>(random_.below(static_cast<uint64_t>(spread)))),
         -1, [this] {
           if (elections_) elect();
         });
    }
    if (options_.pauses && random_.one_in(3)) {
      const int m = static_cast<int>(random_.below(3));
      members_[m]->paused_until_us = now_us_ + static_cast<int64_t>(random_.below(8'000'000));
    }
  }
  void step_down(int m) {
    members_[m]->leads = Term();
    members_[m]->lessor.resign();
  }
  void begin_to_lead(int m, Term term) {
    Member& member = *members_[m];
    if (term.value() != reigns_.size()) return;
    step_down(m);
    member.leads = term;
    if (options_.broken == Break::kLeadTooSoon) count_from_now(m);
    propose(m, {});
  }
  void count_from_now(int m) {
    Member& member = *members_[m];
    std::vector<store::Lease> leases;
    for (const auto& [id, lease] : member.state) leases.push_back(lease);
    reigns_[member.leads.value() - 1].counts_from_us = now_us_;
    member.lessor.lead(member.leads, leases, clock_ms(m));
  }
  bool really_leads(Term term) const { return term.value() == reigns_.size(); }

  // ---- the log ----

  void propose(int m, const kvdpb::Command& command) {
    Member& member = *members_[m];
    const Term term = member.leads;
    if (random_.one_in(40) && command.request_case() != kvdpb::Command::REQUEST_NOT_SET)
      return;  // dropped before it is an entry
    member.last_commit_us =
        std::max(member.last_commit_us + 1,
                 now_us_ + 1000 + static_cast<int64_t>(random_.below(random_.one_in(8) ? 2'000'000 : 30'000)));
    at(member.last_commit_us, -1, [this, term, command] {
      if (really_leads(term)) return commit({term, command});
      if (command.request_case() == kvdpb::Command::REQUEST_NOT_SET || !random_.one_in(2)) return;
      in(2'000'000, -1, [this, command] {
        ++stale_commands_;
        commit({Term(reigns_.size()), command});
      });
    });
  }

  void commit(const Entry& entry) {
    log_.push_back(entry);
    apply_to(truth_, entry, [this](int64_t id, bool by_time) { ended(id, by_time); });
    for (int m = 0; m < 3; ++m) in(random_.one_in(10) ? 500'000 : 20'000, m, [this, m] { catch_up(m); });
  }

  template <typename Ended>
  void apply_to(std::map<int64_t, store::Lease>& state, const Entry& entry, Ended ended) {
    const kvdpb::Command& c = entry.command;
    const bool term_is_checked = options_.broken != Break::kTermIsNotChecked;
    if (c.has_lease_grant()) state[c.lease_grant().id()] = {c.lease_grant().id(), c.lease_grant().ttl(), 0};
    if (c.has_lease_revoke() && state.erase(c.lease_revoke().id()) > 0) ended(c.lease_revoke().id(), false);
    if (c.has_lease_expiry() && (c.lease_expiry().term() == entry.term.value() || !term_is_checked)) {
      for (const int64_t id : c.lease_expiry().ids())
        if (state.erase(id) > 0) ended(id, true);
    }
    if (c.has_lease_checkpoints() && (c.lease_checkpoints().term() == entry.term.value() || !term_is_checked)) {
      for (const auto& checkpoint : c.lease_checkpoints().checkpoints()) {
        const auto it = state.find(checkpoint.id());
        if (it != state.end()) it->second.remaining_s = checkpoint.remaining_ttl();
      }
    }
  }

  void ended(int64_t id, bool by_time) {
    Known& lease = known_[id];
    lease.end_us = now_us_;
    lease.ended_by_time = by_time;
    if (!by_time) return;
    ++expired_;
    check(id, lease.start_us, now_us_, "ended early");
  }
  void check(int64_t id, int64_t from_us, int64_t to_us, const char* what) {
    const double counted = counted_ms(from_us, to_us);
    const double ttl_ms = static_cast<double>(known_[id].ttl_s) * 1000;
    if (counted + 1e-6 < ttl_ms) {
      fail("lease " + std::to_string(id) + " " + what + ": its leaders counted " + std::to_string(counted) + " ms of " +
           std::to_string(ttl_ms) + " since " + std::to_string(from_us) + " us");
    }
  }

  void catch_up(int m) {
    Member& member = *members_[m];
    while (member.applied < log_.size()) {
      const Entry& entry = log_[member.applied++];
      const kvdpb::Command& c = entry.command;
      const bool led = member.lessor.term() && member.lessor.term() == member.leads;
      std::vector<int64_t> gone;
      apply_to(member.state, entry, [&](int64_t id, bool) { gone.push_back(id); });
      if (!member.leads) continue;
      if (!led) {
        if (entry.term == member.leads) count_from_now(m);
        continue;
      }
      for (const int64_t id : gone) member.lessor.revoked(id);
      if (c.has_lease_grant()) member.lessor.granted(member.state[c.lease_grant().id()], clock_ms(m));
      if (c.has_lease_checkpoints()) {
        for (const auto& checkpoint : c.lease_checkpoints().checkpoints()) {
          const auto it = member.state.find(checkpoint.id());
          if (it != member.state.end()) member.lessor.checkpointed(it->first, it->second.remaining_s);
        }
      }
      if (entry.term != member.lessor.term()) continue;
      if (c.has_lease_expiry() && c.lease_expiry().term() == entry.term.value())
        member.lessor.resolved(c.lease_expiry().number());
      if (c.has_lease_checkpoints() && c.lease_checkpoints().term() == entry.term.value()) {
        ++checkpointed_;
        member.lessor.resolved(c.lease_checkpoints().number());
      }
    }
  }

  // Leadership is not confirmed here: safety must not hang on it.
  void look_for_due(int m) {
    Member& member = *members_[m];
    if (!member.leads || !member.lessor.is_due(clock_ms(m))) return;
    for (const auto& command : member.lessor.due(clock_ms(m))) propose(m, command);
  }

  // ---- clients ----

  int believes_to_lead() {
    const int first = static_cast<int>(random_.below(3));
    for (int i = 0; i < 3; ++i)
      if (members_[(first + i) % 3]->leads) return (first + i) % 3;
    return -1;
  }

  void grant(int64_t ttl_s) {
    const int m = believes_to_lead();
    if (m < 0) return;
    const int64_t id = ++last_id_;
    known_[id] = {ttl_s, now_us_, -1};
    kvdpb::Command command;
    command.mutable_lease_grant()->set_id(id);
    command.mutable_lease_grant()->set_ttl(ttl_s);
    propose(m, command);
  }

  void client() {
    if (!clients_act_) return;
    if (truth_.size() < 6 && random_.one_in(4)) grant(2 + static_cast<int64_t>(random_.below(25)));
    if (truth_.empty()) return;
    auto it = truth_.begin();
    std::advance(it, static_cast<ptrdiff_t>(random_.below(truth_.size())));
    const int64_t id = it->first;
    const int m = believes_to_lead();
    if (m < 0) return;
    if (random_.one_in(400)) {
      kvdpb::Command command;
      command.mutable_lease_revoke()->set_id(id);
      return propose(m, command);
    }
    // Seldom enough that leases come near their end.
    if (!options_.keep_alives || !random_.one_in(static_cast<uint64_t>(id % 5 * 12 + 4))) return;
    in(random_.one_in(10) ? 3'000'000 : 20'000, m, [this, m, id] { arrive(m, id); });
  }

  void arrive(int m, int64_t id) {
    const Term term = members_[m]->leads;
    if (!term || random_.one_in(20)) return;
    const int64_t arrived_us = now_us_;
    if (options_.broken == Break::kAnswerWithoutConfirmation) return answer(m, id, term, arrived_us, 0);
    in(20'000, -1, [this, m, id, term, arrived_us] {
      if (!really_leads(term)) return;
      const size_t index = log_.size();
      in(random_.one_in(8) ? 4'000'000 : 20'000, m,
         [this, m, id, term, arrived_us, index] { answer(m, id, term, arrived_us, index); });
    });
  }

  void answer(int m, int64_t id, Term term, int64_t arrived_us, size_t index) {
    Member& member = *members_[m];
    if (member.leads != term || !member.lessor.term()) return;
    const auto again = [&] {
      if (now_us_ - arrived_us < 7'000'000) {
        in(300'000, m, [this, m, id, term, arrived_us, index] { answer(m, id, term, arrived_us, index); });
      }
    };
    if (member.applied < index) return again();
    Lessor::Renewal renewal = member.lessor.renew(id, clock_ms(m));
    if (renewal == Lessor::Renewal::kMustClear && options_.broken == Break::kRestIsNotCleared) {
      member.lessor.checkpointed(id, 0);
      member.lessor.resolved(UINT64_MAX);
      renewal = member.lessor.renew(id, clock_ms(m));
    }
    switch (renewal) {
      case Lessor::Renewal::kRenewed: {
        ++renewed_;
        Known& lease = known_[id];
        lease.start_us = std::max(lease.start_us, arrived_us);
        // Answered by one who does not know yet that it is over: as if the answer had been long on its way.
        if (lease.ended_by_time && arrived_us < lease.end_us)
          check(id, arrived_us, lease.end_us, "was answered for, and gone");
        break;
      }
      case Lessor::Renewal::kUnknown:
        if (truth_.contains(id) && known_[id].end_us < 0 && options_.broken == Break::kNone) {
          fail("lease " + std::to_string(id) + " is there and was said to be gone");
        }
        break;
      case Lessor::Renewal::kMustClear:
        for (const auto& command : member.lessor.clear({id}, clock_ms(m))) propose(m, command);
        again();
        break;
      case Lessor::Renewal::kExpiring: again(); break;
    }
  }

  Random random_;
  WorldOptions options_;
  int64_t now_us_ = 0;
  uint64_t order_ = 0;
  std::priority_queue<Event> events_;
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<Reign> reigns_;  // that of term t at t - 1
  std::vector<Entry> log_;
  std::map<int64_t, store::Lease> truth_;  // what is committed
  std::map<int64_t, Known> known_;
  int64_t last_id_ = 0;
  bool clients_act_ = true, elections_ = true;
  std::string trouble_;
  int64_t expired_ = 0, renewed_ = 0, checkpointed_ = 0, stale_commands_ = 0;
};

uint64_t seeds() { return std::getenv("KVD_TEST_LONG") != nullptr ? 5000 : 300; }

TEST(LeaseSafety, No_lease_is_ever_revoked_early_on_any_members_clock) {
  int64_t expired = 0, renewed = 0, checkpointed = 0, stale = 0, terms = 0;
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    World world(seed, {});
    world.run(120'000);
    ASSERT_EQ(world.trouble(), "") << "seed " << seed;
    world.calm_down();
    // The slowest clock goes at half the speed; a reign of a minute and a half is more than any lease has.
    world.run(90'000);
    ASSERT_EQ(world.trouble(), "") << "seed " << seed;
    ASSERT_EQ(world.leases(), 0u) << "a lease lives on under a leader that stays, seed " << seed;
    expired += world.expired();
    renewed += world.renewed();
    checkpointed += world.checkpointed();
    stale += world.stale_commands();
    terms += world.terms();
  }
  std::printf(
      "[ figure   ] %ld leases expired, %ld keep-alives answered, %ld checkpoints, %ld terms, %ld commands of an "
      "earlier term\n",
      static_cast<long>(expired), static_cast<long>(renewed), static_cast<long>(checkpointed), static_cast<long>(terms),
      static_cast<long>(stale));
  EXPECT_GT(expired, 1000);
  EXPECT_GT(renewed, 1000);
  EXPECT_GT(checkpointed, 1000);
  EXPECT_GT(stale, 100);
}

class BrokenRule : public testing::TestWithParam<Break> {};

TEST_P(BrokenRule, Is_noticed) {
  for (uint64_t seed = 1; seed <= 600; ++seed) {
    WorldOptions options;
    options.broken = GetParam();
    World world(seed, options);
    world.run(120'000);
    if (!world.trouble().empty()) {
      std::printf("[ figure   ] noticed with seed %lu: %s\n", static_cast<unsigned long>(seed),
                  world.trouble().c_str());
      return;
    }
  }
  ADD_FAILURE() << "nobody noticed";
}

INSTANTIATE_TEST_SUITE_P(All, BrokenRule,
                         testing::Values(Break::kAnswerWithoutConfirmation, Break::kTermIsNotChecked,
                                         Break::kLeadTooSoon, Break::kRestIsNotCleared));

// Reigns of six to twelve seconds, a lease of a minute that nobody keeps alive.
int64_t life_of_a_lease(uint64_t seed, bool checkpoints, int64_t patience_ms) {
  WorldOptions options;
  options.checkpoints = checkpoints;
  options.checkpoint_interval_ms = 5000;
  options.min_reign_ms = 6000;
  options.max_reign_ms = 12'000;
  options.pauses = options.drift = options.keep_alives = false;
  World world(seed, options);
  world.calm_clients();
  world.run(500);
  while (world.leases() == 0) {
    world.grant_one(60);
    world.run(3000);
  }
  const int64_t begin = world.now_ms();
  while (world.leases() > 0 && world.now_ms() < begin + patience_ms) world.run(1000);
  EXPECT_EQ(world.trouble(), "");
  return world.now_ms() - begin;
}

TEST(LeaseSafety, Frequent_elections_do_not_let_leases_live_for_ever) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    // Each reign loses what it counted after its last checkpoint, and up to a second to rounding.
    EXPECT_LT(life_of_a_lease(seed, true, 1'000'000), 300'000) << "seed " << seed;
  }
  EXPECT_GE(life_of_a_lease(1, false, 1'000'000), 1'000'000)
      << "without checkpoints they do: else this test shows nothing";
}

}  // namespace
}  // namespace kv::server
