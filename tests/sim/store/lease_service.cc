#include "sim/store/lease_service.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "sim/store/store_service.h"

namespace kv::sim {

using raft::NodeId;
using raft::Term;
using server::LeaseEvent;
using server::Lessor;

namespace {
constexpr int64_t kRetryMs = 20;
constexpr int64_t kLogRetryMs = 200;
constexpr int64_t kPatienceMs = 2'000;
}  // namespace

LeaseService::LeaseService(SimNode* node, StoreStateMachine* state, StoreWorld* world)
    : node_(node),
      state_(state),
      world_(world),
      random_(seed_for(world->cluster->options().seed, 3000 + node->id().value())) {}

void LeaseService::started() { lessor_ = std::make_unique<Lessor>(world_->options.lessor); }

void LeaseService::crashed() {
  lessor_.reset();
  leading_ = Term();
  to_clear_.clear();
  waiting_.clear();
  retry_all_ = round_asked_ = false;
  round_not_before_ms_ = 0;
  confirmations_.clear();
}

void LeaseService::stepped() {
  const Term leading = node_->core().is_leader() ? node_->core().term() : Term();
  if (leading == leading_) return;
  leading_ = leading;
  if (lessor_->term() != leading_) lessor_->resign();
  to_clear_.clear();
  retry_all_ = true;
}

void LeaseService::leases_changed(const server::LeaseNews& news) {
  stepped();
  if (!leading_) return;
  if (lessor_->term() != leading_) {
    if (news.term != leading_) return;
    std::vector<store::Lease> leases = state_->store().leases();
    if (broken() == Break::kForgetLeases) leases.clear();
    if (broken() == Break::kLeadFromCheckpoint) {
      for (store::Lease& lease : leases) {
        if (const auto rest = world_->rests_seen.find(lease.id); rest != world_->rests_seen.end()) {
          lease.remaining_s = rest->second;
        }
      }
    }
    lessor_->lead(leading_, leases, now_ms());
    world_->leases.leads(leading_, node_->id(), raft::Index(state_->store().applied_index()),
                         world_->cluster->events().now_us());
    world_->note(node_->id(), mix(101, leases.size()),
                 [&] { return "counts the time of " + std::to_string(leases.size()) + " leases from now on"; });
    retry_all_ = true;
    return;
  }
  std::unordered_set<int64_t> touched;
  for (const LeaseEvent& event : news.events) {
    switch (event.kind) {
      case LeaseEvent::Kind::kGranted: lessor_->granted(event.lease, now_ms()); continue;
      case LeaseEvent::Kind::kRevoked:
      case LeaseEvent::Kind::kExpired: lessor_->revoked(event.lease.id); break;
      case LeaseEvent::Kind::kCheckpointed: lessor_->checkpointed(event.lease.id, event.lease.remaining_s); break;
    }
    touched.insert(event.lease.id);
  }
  if (news.term == lessor_->term()) lessor_->resolved(news.resolved);
  for (const QuestionPtr& question : waiting_) {
    if (touched.contains(question->lease)) question->retry_ms = 0;
  }
}

// ---- questions ---------------------------------------------------------------------------------------------

void LeaseService::keep_alive(int64_t lease, uint64_t asked_us, Reply reply) {
  attempt(std::make_shared<Question>(
      Question{.lease = lease, .asked_us = asked_us, .expires_ms = now_ms() + kPatienceMs, .reply = std::move(reply)}));
}

void LeaseService::attempt(QuestionPtr question) {
  if (now_ms() >= question->expires_ms) return question->reply(-1);
  const NodeId leader = node_->core().leader();
  if (leader != node_->id()) {
    // Whoever asked looks for the leader anew.
    if (question->of_peer) return question->reply(-1);
    if (!leader) return wait(std::move(question), kRetryMs);
    return ask_leader(leader, std::move(question));
  }
  if (broken() == Break::kUnconfirmedKeepAlive) return renew(std::move(question));
  const uint64_t id = next_id_++;
  confirmations_[id] = [this, question](bool ok) {
    if (ok) {
      renew(question);
    } else {
      question->reply(-1);
    }
  };
  node_->confirm(id);
}

void LeaseService::ask_leader(NodeId leader, QuestionPtr question) {
  const NodeId self = node_->id();
  // The answer comes back, or doesn't; then the question is asked again.
  auto answered = std::make_shared<bool>(false);
  world_->send(self, leader, [=, this](SimNode&, StoreService& there) {
    auto reply = [=, this](int64_t ttl_s) {
      world_->send(leader, self, [=](SimNode&, StoreService&) {
        if (std::exchange(*answered, true)) return;
        question->reply(ttl_s);
      });
    };
    LeaseService& leases = there.leases();
    leases.attempt(std::make_shared<Question>(Question{.lease = question->lease,
                                                       .asked_us = question->asked_us,
                                                       .of_peer = true,
                                                       .expires_ms = leases.now_ms() + kPatienceMs,
                                                       .reply = reply}));
  });
}

void LeaseService::confirmed(uint64_t id, bool ok) {
  const auto it = confirmations_.find(id);
  if (it == confirmations_.end()) return;
  const auto then = std::move(it->second);
  confirmations_.erase(it);
  then(ok);
}

void LeaseService::renew(QuestionPtr question) {
  if (!lessor_->term()) return wait(std::move(question), kRetryMs);
  const int64_t id = question->lease;
  Lessor::Renewal renewal = lessor_->renew(id, now_ms());
  if (renewal == Lessor::Renewal::kMustClear && broken() == Break::kIgnoreNotedRest) {
    renewal = Lessor::Renewal::kRenewed;
  }
  const raft::Index applied(state_->store().applied_index());
  world_->note(node_->id(), mix(102, mix(static_cast<uint64_t>(id), static_cast<uint64_t>(renewal))), [&] {
    static constexpr const char* kAnswers[] = {"renewed", "unknown", "to be cleared first", "about to end"};
    return "is asked to keep lease " + std::to_string(id) + " alive: " + kAnswers[static_cast<size_t>(renewal)];
  });
  switch (renewal) {
    case Lessor::Renewal::kRenewed: {
      world_->leases.keep_alive_answered(id, applied, question->asked_us);
      const auto remaining = lessor_->remaining(id, now_ms());
      return question->reply(remaining ? remaining->ttl_s : -1);
    }
    case Lessor::Renewal::kUnknown: world_->leases.told_unknown(id, applied); return question->reply(0);
    case Lessor::Renewal::kMustClear: to_clear_.push_back(id); break;
    case Lessor::Renewal::kExpiring: break;
  }
  wait(std::move(question), kLogRetryMs);
}

void LeaseService::wait(QuestionPtr question, int64_t delay_ms) {
  question->retry_ms = now_ms() + delay_ms;
  waiting_.push_back(std::move(question));
}

// ---- what a leader decides ---------------------------------------------------------------------------------

void LeaseService::ticked() {
  const int64_t now = now_ms();
  std::list<QuestionPtr> again;
  const bool all = std::exchange(retry_all_, false);
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const auto question = it++;
    if (all || (*question)->retry_ms <= now) again.splice(again.end(), waiting_, question);
  }
  if (!to_clear_.empty()) propose(lessor_->clear(std::exchange(to_clear_, {}), now));
  const int64_t ahead = broken() == Break::kHastyLessor ? 300 : 0;
  if (!round_asked_ && now >= round_not_before_ms_ && lessor_->is_due(now + ahead)) {
    round_asked_ = true;
    const uint64_t id = next_id_++;
    confirmations_[id] = [this, ahead](bool ok) {
      round_asked_ = false;
      if (ok) {
        propose(lessor_->due(now_ms() + ahead));
      } else {
        round_not_before_ms_ = now_ms() + kRetryMs;
      }
    };
    node_->confirm(id);
  }
  for (QuestionPtr& question : again) attempt(std::move(question));
}

void LeaseService::propose(const std::vector<kvdpb::Command>& commands) {
  for (const kvdpb::Command& command : commands) {
    const Term term = lessor_->term();
    const uint64_t number =
        command.has_lease_expiry() ? command.lease_expiry().number() : command.lease_checkpoints().number();
    world_->leases.decided(term, number, world_->cluster->events().now_us());
    for (const auto& checkpoint : command.lease_checkpoints().checkpoints()) {
      if (checkpoint.remaining_ttl() > 0) world_->rests_seen[checkpoint.id()] = checkpoint.remaining_ttl();
    }
    kvdpb::Batch batch;
    *batch.add_commands() = command;
    std::string data = batch.SerializeAsString();
    world_->note(node_->id(), mix(103, number), [&] { return "decides: " + command.ShortDebugString(); });
    if (broken() == Break::kLoseExpiry && command.has_lease_expiry()) continue;
    // A copy that comes too late, through whatever member: a leader's decision must not outlive its term.
    const bool too_late = chance(random_, world_->options.stale_ppm) || broken() == Break::kExpiryOfAnyTerm;
    if (too_late && world_->cluster->faults_on()) world_->propose_later(term, data);
    if (leading_ == term && node_->core().term() == term) (void)node_->propose(std::move(data));
  }
}

}  // namespace kv::sim
