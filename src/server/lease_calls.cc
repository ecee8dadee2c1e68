#include "server/lease_calls.h"

#include <algorithm>
#include <tuple>
#include <unordered_set>

#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "server/errors.h"

namespace kv::server {
namespace {

// A question that found nobody to answer it is asked again after this long, or as soon as there is another leader.
constexpr int64_t kRetryMs = 50;
// One that waits for the log is looked at again after this long, whatever happens; the log wakes it sooner.
constexpr int64_t kLogRetryMs = 1000;

Status canceled() { return {Code::kCanceled, "etcdserver: request canceled"}; }

Counter& renewals() {
  static Counter& counter =
      Metrics::global().counter("etcd_debugging_lease_renewed_total", "Keep-alives that counted");
  return counter;
}

void count(const LeaseNews& news) {
  (void)renewals();  // shown from the start, like the others
  static Counter& granted = Metrics::global().counter("etcd_debugging_lease_granted_total", "Leases granted");
  static Counter& revoked = Metrics::global().counter("etcd_debugging_lease_revoked_total", "Leases revoked");
  static Counter& expired =
      Metrics::global().counter("etcd_debugging_server_lease_expired_total", "The total number of expired leases.");
  static Histogram& ttls = Metrics::global().histogram(
      "etcd_debugging_lease_ttl_total", "The TTLs of granted leases, in seconds", Histogram::exponential(1, 2, 24));
  for (const LeaseEvent& event : news.events) {
    switch (event.kind) {
      case LeaseEvent::Kind::kGranted:
        granted.add();
        ttls.observe(static_cast<double>(event.lease.ttl_s));
        break;
      case LeaseEvent::Kind::kExpired: expired.add(); [[fallthrough]];
      case LeaseEvent::Kind::kRevoked: revoked.add(); break;
      case LeaseEvent::Kind::kCheckpointed: break;
    }
  }
}

}  // namespace

void LeaseCalls::start(const Ports& ports) {
  const std::lock_guard lock(mutex_);
  ports_ = ports;
  running_ = true;
  thread_ = std::thread([this] { run(); });
}

void LeaseCalls::stop() {
  std::list<QuestionPtr> left;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    lessor_.resign();
    left.swap(waiting_);
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (QuestionPtr& question : left) answer(std::move(question), errors::stopped());
}

// ---- who leads, and what the log did ----

void LeaseCalls::soft_state_changed(raft::SoftState soft, raft::Term term) {
  {
    const std::lock_guard lock(mutex_);
    leading_ = soft.role == raft::Role::kLeader ? term : raft::Term();
    if (lessor_.term() != leading_) lessor_.resign();
    to_clear_.clear();
    retry_all_ = true;
  }
  changed_.notify_all();
}

void LeaseCalls::applied(const LeaseNews& news) {
  count(news);
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (!leading_ || !running_ || stopped_) return;
    if (lessor_.term() != leading_) {
      // All that earlier leaders committed is applied; from here on this leader's clock counts.
      if (news.term != leading_) return;
      const std::vector<store::Lease> leases = ports_.store->leases();
      lessor_.lead(leading_, leases, now_ms());
      log_info("leases count from now", {{"term", leading_.value()}, {"leases", leases.size()}});
      retry_all_ = wake = true;
    } else {
      const int64_t first = lessor_.next_ms();
      std::unordered_set<int64_t> touched;
      for (const LeaseEvent& event : news.events) {
        switch (event.kind) {
          case LeaseEvent::Kind::kGranted: lessor_.granted(event.lease, now_ms()); continue;
          case LeaseEvent::Kind::kRevoked:
          case LeaseEvent::Kind::kExpired: lessor_.revoked(event.lease.id); break;
          case LeaseEvent::Kind::kCheckpointed: lessor_.checkpointed(event.lease.id, event.lease.remaining_s); break;
        }
        if (!waiting_.empty()) touched.insert(event.lease.id);
      }
      if (news.term == lessor_.term()) lessor_.resolved(news.resolved);
      for (const QuestionPtr& question : waiting_) {
        if (touched.empty()) break;
        if (!touched.contains(question->lease())) continue;
        question->retry_ms = 0;
        wake = true;
      }
      wake = wake || lessor_.next_ms() < first;
    }
  }
  if (wake) changed_.notify_all();
}

std::vector<store::Lease> LeaseCalls::leases() const {
  std::vector<store::Lease> leases = ports_.store->leases();
  std::vector<std::pair<int64_t, store::Lease>> by_end;
  {
    const std::lock_guard lock(mutex_);
    if (!lessor_.term()) return leases;
    for (const store::Lease& lease : leases) {
      const auto remaining = lessor_.remaining(lease.id, now_ms());
      by_end.emplace_back(remaining ? remaining->ms : 0, lease);
    }
  }
  std::stable_sort(by_end.begin(), by_end.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < leases.size(); ++i) leases[i] = by_end[i].second;
  return leases;
}

// ---- questions ----

void LeaseCalls::ask(kvdpb::PeerRequest request, CallPtr call, int64_t expires_ms, Done done) {
  auto question = std::make_unique<Question>();
  question->request = std::move(request);
  question->call = std::move(call);
  question->expires_ms = expires_ms;
  question->done = std::move(done);
  attempt(std::move(question));
}

void LeaseCalls::serve(kvdpb::PeerRequest request, int64_t expires_ms, PeerCalls::Reply reply) {
  auto question = std::make_unique<Question>();
  question->request = std::move(request);
  question->expires_ms = expires_ms;
  question->of_peer = true;
  question->done = [reply = std::move(reply)](const Status& status, kvdpb::PeerResponse&& response) mutable {
    response.set_code(static_cast<int32_t>(status.code()));
    response.set_text(status.text());
    reply(std::move(response));
  };
  attempt(std::move(question));
}

void LeaseCalls::attempt(QuestionPtr question) {
  if (question->call && question->call->cancelled()) return answer(std::move(question), canceled());
  if (now_ms() >= question->expires_ms) {
    Status trouble = question->last_trouble.ok() ? errors::timed_out() : question->last_trouble;
    return answer(std::move(question), std::move(trouble));
  }
  const raft::NodeId leader = ports_.engine->soft_state().leader;
  if (leader == ports_.self) return attempt_here(std::move(question));
  if (question->of_peer) {
    // Whoever asked looks for the leader anew; a chain of members that ask each other leads nowhere.
    kvdpb::PeerResponse response;
    response.set_ask_again(true);
    return answer(std::move(question), errors::not_leader(), std::move(response));
  }
  if (!leader) return wait(std::move(question), Lessor::kNever, errors::no_leader());
  ask_leader(leader, std::move(question));
}

void LeaseCalls::attempt_here(QuestionPtr question) {
  // Shared, because a completion that is refused must still be there.
  auto shared = std::make_shared<QuestionPtr>(std::move(question));
  Engine::ReadReady ready = [this, shared](const Status& status) {
    if (!status.ok()) return answer(std::move(*shared), status);
    confirmed(std::move(*shared));
  };
  if (Status refused = ports_.engine->read(ready); !refused.ok()) answer(std::move(*shared), std::move(refused));
}

void LeaseCalls::ask_leader(raft::NodeId leader, QuestionPtr question) {
  const kvdpb::PeerRequest request = question->request;
  const int64_t expires_ms = question->expires_ms;
  auto shared = std::make_shared<QuestionPtr>(std::move(question));
  ports_.peers->call(leader, request, expires_ms, [this, shared](Status way, kvdpb::PeerResponse&& response) {
    QuestionPtr asked = std::move(*shared);
    if (!way.ok()) return wait(std::move(asked), now_ms() + kRetryMs, std::move(way));
    if (response.ask_again()) return wait(std::move(asked), now_ms() + kRetryMs, errors::timed_out());
    const bool fits = response.code() != 0 || response.has_lease_keep_alive() == asked->request.has_lease_keep_alive();
    if (!fits || response.code() < 0 || response.code() > 16) {
      return answer(std::move(asked), {Code::kInternal, "etcdserver: the leader's answer makes no sense"});
    }
    Status status(static_cast<Code>(response.code()), response.text());
    answer(std::move(asked), std::move(status), std::move(response));
  });
}

// On the engine's thread, mostly: short.
void LeaseCalls::confirmed(QuestionPtr question) {
  question->request.has_lease_keep_alive() ? keep_alive(std::move(question)) : time_to_live(std::move(question));
}

void LeaseCalls::keep_alive(QuestionPtr question) {
  const int64_t id = question->lease();
  const int64_t now = now_ms();
  kvdpb::PeerResponse response;
  auto* answered = response.mutable_lease_keep_alive();
  answered->set_id(id);
  bool leads = false;
  Lessor::Renewal renewal = Lessor::Renewal::kUnknown;
  {
    const std::lock_guard lock(mutex_);
    leads = static_cast<bool>(lessor_.term());
    if (leads) {
      renewal = lessor_.renew(id, now);
      if (renewal == Lessor::Renewal::kRenewed) answered->set_ttl(lessor_.remaining(id, now)->ttl_s);
      if (renewal == Lessor::Renewal::kMustClear) to_clear_.push_back(id);
    }
  }
  if (!leads) return wait(std::move(question), now + kRetryMs, errors::timed_out());
  switch (renewal) {
    case Lessor::Renewal::kRenewed: renewals().add(); [[fallthrough]];
    case Lessor::Renewal::kUnknown: return answer(std::move(question), Status(), std::move(response));
    case Lessor::Renewal::kMustClear:
    case Lessor::Renewal::kExpiring: break;
  }
  wait(std::move(question), now + kLogRetryMs, errors::timed_out());
}

void LeaseCalls::time_to_live(QuestionPtr question) {
  const int64_t id = question->lease();
  std::optional<Lessor::Remaining> remaining;
  bool leads = false;
  const int64_t now = now_ms();
  {
    const std::lock_guard lock(mutex_);
    leads = static_cast<bool>(lessor_.term());
    if (leads) remaining = lessor_.remaining(id, now);
  }
  if (!leads) return wait(std::move(question), now + kRetryMs, errors::leader_changed());
  kvdpb::PeerResponse response;
  auto* answered = response.mutable_lease_time_to_live();
  answered->set_id(id);
  if (!remaining) {
    answered->set_ttl(-1);
    return answer(std::move(question), Status(), std::move(response));
  }
  answered->set_ttl(remaining->ms / 1000);
  answered->set_grantedttl(remaining->ttl_s);
  if (!question->request.lease_time_to_live().keys()) return answer(std::move(question), Status(), std::move(response));
  auto shared = std::make_shared<std::pair<QuestionPtr, kvdpb::PeerResponse>>(std::move(question), std::move(response));
  const bool taken = ports_.run_slowly([this, id, shared] {
    auto keys = ports_.store->lease_keys(id);
    if (!keys.ok()) return answer(std::move(shared->first), keys.status());
    for (std::string& key : *keys) shared->second.mutable_lease_time_to_live()->add_keys(std::move(key));
    answer(std::move(shared->first), Status(), std::move(shared->second));
  });
  if (!taken) answer(std::move(shared->first), errors::too_many_requests());
}

void LeaseCalls::wait(QuestionPtr question, int64_t retry_ms, Status trouble) {
  question->retry_ms = retry_ms;
  question->last_trouble = std::move(trouble);
  Status refused;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) {
      refused = errors::stopped();
    } else if (waiting_.size() >= options_.max_questions) {
      refused = errors::too_many_requests();
    } else {
      waiting_.push_back(std::move(question));
    }
  }
  if (!refused.ok()) return answer(std::move(question), std::move(refused));
  changed_.notify_all();
}

void LeaseCalls::answer(QuestionPtr question, Status status, kvdpb::PeerResponse&& response) {
  question->done(std::move(status), std::move(response));
}

// ---- the thread ----

void LeaseCalls::run() {
  name_this_thread("kvd-leases");
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    const int64_t now = now_ms();
    int64_t next = Lessor::kNever;
    std::list<QuestionPtr> again = take_due(now, &next);
    if (!to_clear_.empty()) propose(lessor_.clear(std::exchange(to_clear_, {}), now));
    bool confirm = false;
    if (!round_asked_) {
      confirm = now >= round_not_before_ms_ && lessor_.is_due(now);
      round_asked_ = confirm;
      if (!confirm) next = std::min(next, std::max(lessor_.next_ms(), round_not_before_ms_));
    }
    if (confirm || !again.empty()) {
      lock.unlock();
      if (confirm) confirm_and_propose();
      for (QuestionPtr& question : again) attempt(std::move(question));
      lock.lock();
      continue;
    }
    // An hour at most: what is further away must not overflow the clock's arithmetic.
    if (next > now) changed_.wait_for(lock, std::chrono::milliseconds(std::min<int64_t>(next - now, 3'600'000)));
  }
}

std::list<LeaseCalls::QuestionPtr> LeaseCalls::take_due(int64_t now, int64_t* next_ms) {
  std::list<QuestionPtr> due;
  const bool all = std::exchange(retry_all_, false);
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const auto question = it++;
    const int64_t due_ms = std::min((*question)->retry_ms, (*question)->expires_ms);
    if (all || due_ms <= now) {
      due.splice(due.end(), waiting_, question);
    } else {
      *next_ms = std::min(*next_ms, due_ms);
    }
  }
  return due;
}

// An end is proposed only while leadership is confirmed, like a keep-alive is answered.
void LeaseCalls::confirm_and_propose() {
  Engine::ReadReady ready = [this](const Status& status) { round_is_over(status); };
  if (const Status refused = ports_.engine->read(ready); !refused.ok()) round_is_over(refused);
}

void LeaseCalls::round_is_over(const Status& status) {
  {
    const std::lock_guard lock(mutex_);
    round_asked_ = false;
    if (stopped_) return;
    if (status.ok()) {
      propose(lessor_.due(now_ms()));
    } else {
      round_not_before_ms_ = now_ms() + kRetryMs;
    }
  }
  changed_.notify_all();
}

void LeaseCalls::propose(const std::vector<kvdpb::Command>& commands) {
  for (const kvdpb::Command& command : commands) {
    kvdpb::Batch batch;
    *batch.add_commands() = command;
    ports_.engine->run([term = lessor_.term(),
                        data = std::make_shared<const std::string>(batch.SerializeAsString())](raft::Core& core) {
      if (core.is_leader() && core.term() == term) (void)core.propose(data);
    });
  }
}

}  // namespace kv::server
