#include "server/member_changes.h"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "base/thread.h"
#include "kvdpb/command.pb.h"
#include "server/errors.h"
#include "server/membership.h"

namespace kv::server {
namespace {

using kvdpb::MembershipRequest;
using kvdpb::MembershipResponse;

// A question that found nobody to answer it is asked again after this long, or as soon as there is another leader.
constexpr int64_t kRetryMs = 50;
// How often a cluster that seems unhealthy is looked at again.
constexpr int64_t kLookAgainMs = 20;

template <typename Urls>
std::vector<std::string> strings(const Urls& urls) {
  return {urls.begin(), urls.end()};
}

Status verdict(const ClusterView& view, const ReconfigurationRules& rules, const MembershipRequest& request) {
  switch (request.change_case()) {
    case MembershipRequest::kAdd: return check_add(view, rules, request.add());
    case MembershipRequest::kRemove: return check_remove(view, rules, request.remove().id());
    case MembershipRequest::kPromote: return check_promote(view, rules, request.promote().id());
    case MembershipRequest::kUpdate:
      return check_update(view, request.update().id(), strings(request.update().peerurls()));
    case MembershipRequest::CHANGE_NOT_SET: break;
  }
  return errors::not_served();
}

// What goes into the log for a change of raft's configuration.
raft::ConfigChange config_change(const MembershipRequest& request, const etcdserverpb::Member& added) {
  kvdpb::MemberChange context;
  context.set_origin(request.origin());
  context.set_call(request.call());
  raft::ConfigChange change;
  if (request.has_add()) {
    *context.mutable_member() = added;
    change.changes = {
        {added.islearner() ? raft::ChangeType::kAddLearner : raft::ChangeType::kAddVoter, raft::NodeId(added.id())}};
  } else if (request.has_promote()) {
    change.changes = {{raft::ChangeType::kAddVoter, raft::NodeId(request.promote().id())}};
  } else {
    change.changes = {{raft::ChangeType::kRemove, raft::NodeId(request.remove().id())}};
  }
  change.context = context.SerializeAsString();
  return change;
}

// New peer URLs change nothing for raft, so they go through the log as a command: an entry that changes the
// configuration to itself is none.
raft::Payload update_command(const MembershipRequest& request) {
  kvdpb::Batch batch;
  kvdpb::Command& command = *batch.add_commands();
  command.set_origin(request.origin());
  command.set_call(request.call());
  // The gate of the member that was asked has judged who asks.
  command.set_by_member(true);
  *command.mutable_member_update() = request.update();
  return std::make_shared<const std::string>(batch.SerializeAsString());
}

kvdpb::PeerResponse refusal(const Status& status, bool ask_again) {
  kvdpb::PeerResponse response;
  response.set_code(static_cast<int32_t>(status.code()));
  response.set_text(status.text());
  response.set_ask_again(ask_again);
  return response;
}

}  // namespace

void MemberChanges::start(const Ports& ports) {
  const std::lock_guard lock(mutex_);
  ports_ = ports;
  thread_ = std::thread([this] { run(); });
}

void MemberChanges::stop() {
  std::list<QuestionPtr> questions;
  std::deque<Decision> decisions;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    questions.swap(waiting_);
    decisions.swap(decisions_);
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const QuestionPtr& question : questions) end(*question, errors::stopped());
  for (Decision& decision : decisions) decision.reply(refusal(errors::stopped(), /*ask_again=*/true));
}

void MemberChanges::soft_state_changed(raft::SoftState soft, raft::Term term) {
  {
    const std::lock_guard lock(mutex_);
    leading_ = soft.role == raft::Role::kLeader ? term : raft::Term();
    retry_all_ = true;
  }
  changed_.notify_all();
}

void MemberChanges::members_changed() {
  // Empty: who waits looks at the store, and must not have looked just before and not wait yet.
  { const std::lock_guard lock(mutex_); }
  changed_.notify_all();
}

// ---- the member that was asked --------------------------------------------------------------------------------

void MemberChanges::ask(MembershipRequest request, int64_t expires_ms, Done done) {
  auto over = std::make_shared<std::atomic<bool>>(false);
  auto shared = std::make_shared<Done>(std::move(done));
  Completion completion = [over, shared](Status status, google::protobuf::Message* response) {
    over->store(true);
    if (!status.ok()) return (*shared)(std::move(status), {});
    (*shared)(Status(), std::move(*static_cast<MembershipResponse*>(response)));
  };
  const auto number = ports_.calls->add(request.ByteSizeLong(), expires_ms, completion);
  if (!number.ok()) return (*shared)(number.status(), {});
  request.set_origin(ports_.self.value());
  request.set_call(*number);
  auto question = std::make_unique<Question>();
  question->request = std::move(request);
  question->expires_ms = expires_ms;
  question->over = std::move(over);
  attempt(std::move(question));
}

void MemberChanges::attempt(QuestionPtr question) {
  if (question->over->load()) return;
  const raft::NodeId leader = ports_.engine->soft_state().leader;
  if (!leader) return wait(std::move(question));
  ++question->attempts;
  const MembershipRequest request = question->request;
  const int64_t expires_ms = question->expires_ms;
  // Shared, because it must be copyable.
  auto shared = std::make_shared<QuestionPtr>(std::move(question));
  if (leader == ports_.self) {
    return serve(request, expires_ms, [this, shared](kvdpb::PeerResponse&& answer) {
      answered(std::move(*shared), Status(), std::move(answer));
    });
  }
  kvdpb::PeerRequest asked;
  *asked.mutable_membership() = request;
  ports_.peers->call(leader, asked, expires_ms, [this, shared](const Status& way, kvdpb::PeerResponse&& answer) {
    answered(std::move(*shared), way, std::move(answer));
  });
}

void MemberChanges::answered(QuestionPtr question, const Status& way, kvdpb::PeerResponse&& answer) {
  if (question->over->load()) return;
  if (!way.ok() || answer.ask_again()) return wait(std::move(question));
  if (answer.code() != 0) {
    const bool known = answer.code() > 0 && answer.code() <= static_cast<int32_t>(Code::kUnauthenticated);
    return refuse(std::move(question), {known ? static_cast<Code>(answer.code()) : Code::kInternal, answer.text()});
  }
  // It is applied on the leader, and will be here; but who is removed may hear of it no more.
  const MembershipRequest& request = question->request;
  if (request.has_remove() && request.remove().id() == ports_.self.value())
    end(*question, Status(), std::move(*answer.mutable_membership()));
}

void MemberChanges::refuse(QuestionPtr question, const Status& status) {
  if (question->attempts == 1) return end(*question, status);
  auto shared = std::make_shared<QuestionPtr>(std::move(question));
  Engine::ReadReady ready = [this, shared, status](const Status& read) {
    end(**shared, read.ok() ? status : errors::timed_out());
  };
  if (const Status refused = ports_.engine->read(ready); !refused.ok()) end(**shared, refused);
}

void MemberChanges::end(const Question& question, const Status& status, MembershipResponse&& response) {
  for (Completion& completion : ports_.calls->take({question.request.call()}))
    if (completion) completion(status, status.ok() ? &response : nullptr);
}

void MemberChanges::wait(QuestionPtr question) {
  Status refused;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) {
      refused = errors::stopped();
    } else if (waiting_.size() >= options_.max_waiting) {
      refused = errors::too_many_requests();
    } else {
      question->retry_ms = now_ms() + kRetryMs;
      waiting_.push_back(std::move(question));
    }
  }
  if (!refused.ok()) return end(*question, refused);
  changed_.notify_all();
}

// ---- the leader -----------------------------------------------------------------------------------------------

void MemberChanges::serve(MembershipRequest request, int64_t expires_ms, PeerCalls::Reply reply) {
  Status refused;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) {
      refused = errors::stopped();
    } else if (decisions_.size() >= options_.max_waiting) {
      refused = errors::too_many_requests();
    } else {
      decisions_.push_back({std::move(request), expires_ms, std::move(reply)});
    }
  }
  if (!refused.ok()) return reply(refusal(refused, /*ask_again=*/false));
  changed_.notify_all();
}

void MemberChanges::run() {
  name_this_thread("kvd-changes");
  while (true) {
    std::list<QuestionPtr> due;
    std::deque<Decision> decisions;
    {
      std::unique_lock lock(mutex_);
      const auto ready = [this] { return stopped_ || retry_all_ || !decisions_.empty(); };
      if (waiting_.empty()) {
        changed_.wait(lock, ready);
      } else {
        changed_.wait_for(lock, std::chrono::milliseconds(kRetryMs), ready);
      }
      if (stopped_) return;
      for (auto it = waiting_.begin(); it != waiting_.end();) {
        const auto question = it++;
        if (retry_all_ || (*question)->retry_ms <= now_ms()) due.splice(due.end(), waiting_, question);
      }
      retry_all_ = false;
      if (!decisions_.empty()) {
        decisions.push_back(std::move(decisions_.front()));
        decisions_.pop_front();
      }
    }
    for (QuestionPtr& question : due) attempt(std::move(question));
    for (Decision& decision : decisions) decide(std::move(decision));
  }
}

void MemberChanges::decide(Decision decision) {
  raft::Term term;
  {
    const std::lock_guard lock(mutex_);
    term = leading_;
  }
  // Whoever asked looks for the leader anew; a chain of members that ask each other leads nowhere.
  if (!term) return decision.reply(refusal(errors::not_leader(), /*ask_again=*/true));
  kvdpb::PeerResponse response;
  const Status status = change(term, decision.request, decision.expires_ms, response.mutable_membership());
  if (status.ok()) return decision.reply(std::move(response));
  bool still;
  {
    const std::lock_guard lock(mutex_);
    still = leading_ == term;
  }
  decision.reply(refusal(status, /*ask_again=*/!still || status == errors::leader_changed()));
}

Status MemberChanges::change(raft::Term term, const MembershipRequest& request, int64_t expires_ms,
                             MembershipResponse* response) {
  KV_RETURN_IF_ERROR(read(expires_ms));
  ClusterView view;
  if (Status refused = check(term, request, expires_ms, &view); !refused.ok()) {
    log_warning("a change of members is refused", {{"change", request.ShortDebugString()}, {"why", refused.text()}});
    return refused;
  }
  const bool leaves = request.has_remove() && request.remove().id() == view.self;
  if (leaves && hand_over(term, view, expires_ms)) return errors::leader_changed();
  const auto index = propose(term, request, view, expires_ms, response);
  if (!index.ok()) return index.status();
  {
    std::unique_lock lock(mutex_);
    KV_RETURN_IF_ERROR(
        wait_for(lock, term, expires_ms, [&] { return ports_.store->applied_index() >= index->value(); }));
  }
  for (etcdserverpb::Member& member : members(*ports_.store)) *response->add_members() = std::move(member);
  log_info("members changed", {{"change", request.ShortDebugString()}, {"index", index->value()}});
  return {};
}

Status MemberChanges::check(raft::Term term, const MembershipRequest& request, int64_t expires_ms, ClusterView* view) {
  const int64_t until_ms = std::min(expires_ms, now_ms() + options_.patience_ms);
  while (true) {
    auto looked = look(term, expires_ms);
    if (!looked.ok()) return looked.status();
    *view = std::move(*looked);
    Status refused = verdict(*view, options_.rules, request);
    if (refused != errors::unhealthy() || now_ms() >= until_ms) return refused;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(kLookAgainMs), [&] { return stopped_ || leading_ != term; });
    if (stopped_ || leading_ != term) return errors::leader_changed();
  }
}

Result<ClusterView> MemberChanges::look(raft::Term term, int64_t expires_ms) {
  auto status = on_engine<raft::CoreStatus>(expires_ms, [term](raft::Core& core) -> Result<raft::CoreStatus> {
    if (!core.is_leader() || core.term() != term) return errors::leader_changed();
    return core.status();
  });
  if (!status.ok()) return status.status();
  ClusterView view;
  view.members = members(*ports_.store);
  view.removed = removed_members(*ports_.store);
  view.self = ports_.self.value();
  view.last_index = status->last_index.value();
  const std::set<uint64_t> connected = ports_.connected();
  for (const raft::PeerStatus& peer : status->peers) {
    view.match[peer.id.value()] = peer.match.value();
    if (peer.recently_active && connected.contains(peer.id.value())) view.reachable.insert(peer.id.value());
  }
  return view;
}

Result<raft::Index> MemberChanges::propose(raft::Term term, const MembershipRequest& request, const ClusterView& view,
                                           int64_t expires_ms, MembershipResponse* response) {
  if (request.has_add()) {
    etcdserverpb::Member& added = *response->mutable_member();
    auto urls = strings(request.add().peerurls());
    std::sort(urls.begin(), urls.end());
    for (const std::string& url : urls) added.add_peerurls(url);
    added.set_id(new_member_id(view, urls, ports_.clock->wall_ms() / 1000));
    added.set_islearner(request.add().islearner());
  }
  return on_engine<raft::Index>(expires_ms,
                                [term, request, added = response->member()](raft::Core& core) -> Result<raft::Index> {
                                  if (!core.is_leader() || core.term() != term) return errors::leader_changed();
                                  if (request.has_update()) return core.propose(update_command(request));
                                  return core.propose_change(config_change(request, added));
                                });
}

bool MemberChanges::hand_over(raft::Term term, const ClusterView& view, int64_t expires_ms) {
  uint64_t heir = 0, furthest = 0;
  for (const etcdserverpb::Member& member : view.members) {
    const auto match = view.match.find(member.id());
    if (member.islearner() || !view.reachable.contains(member.id()) || match == view.match.end()) continue;
    if (heir == 0 || match->second > furthest) std::tie(heir, furthest) = std::pair(member.id(), match->second);
  }
  if (heir == 0) return false;
  log_info("handing leadership over before this member is removed", {{"to", hex_id(heir)}});
  ports_.engine->run([heir](raft::Core& core) { core.transfer_leadership(raft::NodeId(heir)); });
  std::unique_lock lock(mutex_);
  const int64_t until_ms = std::min(expires_ms, now_ms() + options_.patience_ms);
  return wait_for(lock, term, until_ms, [] { return false; }) == errors::leader_changed();
}

Status MemberChanges::read(int64_t expires_ms) {
  // Outlives this call when the time is up first.
  auto over = std::make_shared<std::optional<Status>>();
  Engine::ReadReady ready = [this, over](Status status) {
    {
      const std::lock_guard lock(mutex_);
      *over = std::move(status);
    }
    changed_.notify_all();
  };
  KV_RETURN_IF_ERROR(ports_.engine->read(ready));
  std::unique_lock lock(mutex_);
  KV_RETURN_IF_ERROR(wait_for(lock, leading_, expires_ms, [&] { return over->has_value(); }));
  return **over;
}

template <typename T>
Result<T> MemberChanges::on_engine(int64_t expires_ms, std::function<Result<T>(raft::Core&)> work) {
  auto over = std::make_shared<std::optional<Result<T>>>();
  ports_.engine->run([this, over, work = std::move(work)](raft::Core& core) {
    Result<T> result = work(core);
    {
      const std::lock_guard lock(mutex_);
      over->emplace(std::move(result));
    }
    changed_.notify_all();
  });
  std::unique_lock lock(mutex_);
  // Without regard to the term: `work` looks at it.
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(expires_ms - now_ms());
  changed_.wait_until(lock, until, [&] { return stopped_ || over->has_value(); });
  if (over->has_value()) return std::move(**over);
  return stopped_ ? errors::stopped() : errors::timed_out();
}

template <typename Predicate>
Status MemberChanges::wait_for(std::unique_lock<std::mutex>& lock, raft::Term term, int64_t expires_ms,
                               Predicate reached) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(expires_ms - now_ms());
  changed_.wait_until(lock, until, [&] { return stopped_ || leading_ != term || reached(); });
  if (reached()) return {};
  if (stopped_) return errors::stopped();
  return leading_ != term ? errors::leader_changed() : errors::timed_out();
}

}  // namespace kv::server
