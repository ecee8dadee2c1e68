#include "server/corruption_check.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/metrics.h"
#include "base/stopwatch.h"
#include "server/errors.h"
#include "server/maintenance_metrics.h"

namespace kv::server {
namespace {

constexpr int64_t kAskAgainMs = 200;
// An answer can get lost on a stream that is not there yet, so nobody is waited for very long at first.
constexpr int64_t kFirstTimeoutMs = 2000;

kvdpb::PeerResponse error_response(const Status& status) {
  kvdpb::PeerResponse response;
  response.set_code(static_cast<int32_t>(status.code()));
  response.set_text(status.text());
  return response;
}

}  // namespace

std::vector<uint64_t> who_differs(const std::vector<MemberHash>& answers, size_t members) {
  std::map<std::optional<uint32_t>, std::vector<uint64_t>> groups;
  for (const MemberHash& answer : answers) groups[answer.hash].push_back(answer.member);
  if (groups.size() <= 1) return {};
  std::vector<uint64_t> differ;
  bool majority = false;
  for (const auto& [hash, group] : groups) {
    if (hash && group.size() > members / 2) {
      majority = true;
    } else {
      differ.insert(differ.end(), group.begin(), group.end());
    }
  }
  if (!majority) return {0};
  return differ;
}

CorruptionCheck::CorruptionCheck(const Options& options) : options_(options), jobs_(options.max_jobs) {}

void CorruptionCheck::start(Ports ports) {
  ports_ = std::move(ports);
  worker_ = std::thread([this] { work(); });
  if (options_.interval_ms > 0) watcher_ = std::thread([this] { watch(); });
}

void CorruptionCheck::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  jobs_.close();
  if (watcher_.joinable()) watcher_.join();
  if (worker_.joinable()) worker_.join();
}

bool CorruptionCheck::sleep(int64_t ms) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return stopping_; });
}

store::HashPace CorruptionCheck::pace() {
  struct Read {
    int64_t since_ms;
    uint64_t bytes = 0;
  };
  return [this, read = std::make_shared<Read>(Read{ports_.clock->monotonic_ms()})](size_t bytes) {
    read->bytes += bytes;
    const int64_t due_ms = static_cast<int64_t>(read->bytes * 1000 / options_.bytes_per_s);
    return sleep(std::max<int64_t>(0, read->since_ms + due_ms - ports_.clock->monotonic_ms()));
  };
}

// ---- hashes ----

bool CorruptionCheck::push(Job job) { return jobs_.push(std::move(job)); }

void CorruptionCheck::work() {
  name_this_thread("kvd-hash");
  std::vector<Job> jobs;
  while (jobs_.take_all(jobs, std::chrono::steady_clock::time_point::max())) {
    for (Job& job : jobs) job(!sleep(0));
  }
  for (Job& job : jobs) job(true);
}

void CorruptionCheck::hash(int64_t revision, Hashed done) {
  hash(revision, maintenance_metrics().hash_revision_seconds, std::move(done));
}

void CorruptionCheck::hash_all(Hashed done) { hash(0, maintenance_metrics().hash_seconds, std::move(done)); }

void CorruptionCheck::hash(int64_t revision, Histogram& seconds, Hashed done) {
  auto shared = std::make_shared<Hashed>(std::move(done));
  const bool taken = push([this, revision, &seconds, shared](bool stopped) {
    if (stopped) return (*shared)(errors::stopped());
    (*shared)(hash_now(revision, [this](size_t) { return sleep(0); }, seconds));
  });
  if (!taken) (*shared)(sleep(0) ? errors::too_many_requests() : errors::stopped());
}

Result<store::HashResult> CorruptionCheck::hash_now(int64_t revision, const store::HashPace& pace,
                                                    Histogram& seconds) const {
  const Stopwatch hashing;
  auto hashed = ports_.store->hash_kv(revision, pace);
  if (hashed.ok()) seconds.observe(hashing.seconds());
  return hashed;
}

void CorruptionCheck::serve(const kvdpb::StateHashRequest& request, PeerCalls::Reply reply) {
  auto shared = std::make_shared<PeerCalls::Reply>(std::move(reply));
  const bool taken = push([this, request, shared](bool stopped) {
    if (stopped) return (*shared)(error_response(errors::stopped()));
    kvdpb::PeerResponse response;
    kvdpb::StateHash& answer = *response.mutable_state_hash();
    // In this order: the revision is at least what it was at that index.
    const uint64_t applied = ports_.store->applied_index();
    answer.set_revision(ports_.store->revision().value());
    if (answer.revision() < request.revision() && applied >= request.applied_index()) {
      answer.set_falls_short(true);
      return (*shared)(std::move(response));
    }
    const auto hashed = hash_now(request.revision(), pace(), maintenance_metrics().hash_revision_seconds);
    if (!hashed.ok()) return (*shared)(error_response(hashed.status()));
    answer.set_hash(hashed->hash);
    answer.set_compact_revision(hashed->compact_revision);
    (*shared)(std::move(response));
  });
  if (!taken) (*shared)(error_response(errors::too_many_requests()));
}

// ---- comparing ----

// Shared with callbacks that may outlive the wait.
struct CorruptionCheck::Asked {
  std::mutex mutex;  // guards members
  struct Member {
    raft::NodeId id;
    bool waiting = false;                  // for its answer
    bool over = false;                     // nothing more is to be learnt of it
    bool slow = false;                     // it had the question and gave no answer in time
    int64_t timeout_ms = kFirstTimeoutMs;  // of the next question; doubles
    std::optional<MemberHash> answer{};
    std::string trouble{};  // why there is none
  };
  std::vector<Member> members;
};

std::vector<MemberHash> CorruptionCheck::ask(const std::vector<raft::NodeId>& others, const store::HashResult& own,
                                             int64_t deadline_ms) {
  auto asked = std::make_shared<Asked>();
  for (const raft::NodeId id : others) asked->members.push_back({.id = id});
  kvdpb::PeerRequest question;
  question.mutable_state_hash()->set_revision(own.hash_revision);
  question.mutable_state_hash()->set_applied_index(own.applied_index);
  const int64_t give_up_ms = ports_.clock->monotonic_ms() + options_.answer_timeout_ms;
  const auto answered = [asked, own](size_t i, const Status& status, const kvdpb::PeerResponse& response) {
    const std::lock_guard lock(asked->mutex);
    Asked::Member& member = asked->members[i];
    member.waiting = false;
    member.slow = status == errors::timed_out();
    const kvdpb::StateHash& hash = response.state_hash();
    if (!status.ok()) {
      member.trouble = status.text();
    } else if (response.code() != 0) {
      member.trouble = response.text();
      // Behind, it may reach the revision soon; what is compacted does not come back.
      member.over = response.text() == "etcdserver: mvcc: required revision has been compacted";
    } else if (hash.falls_short()) {
      member.answer = MemberHash{member.id.value(), std::nullopt};
    } else if (hash.compact_revision() != own.compact_revision) {
      member.trouble = "it has compacted its history up to another revision";
      member.over = true;
    } else {
      member.answer = MemberHash{member.id.value(), hash.hash()};
    }
    member.over |= member.answer.has_value();
  };
  bool going_on = true;
  while (going_on) {
    std::vector<std::pair<size_t, int64_t>> again;  // who, until when
    bool waiting = false;
    {
      const std::lock_guard lock(asked->mutex);
      const int64_t now_ms = ports_.clock->monotonic_ms();
      for (size_t i = 0; i < asked->members.size(); ++i) {
        Asked::Member& member = asked->members[i];
        const int64_t ask_until_ms = member.slow ? give_up_ms : deadline_ms;
        if (!member.waiting && !member.over && (now_ms < ask_until_ms || member.trouble.empty())) {
          member.waiting = true;
          again.emplace_back(i, std::min(give_up_ms, now_ms + member.timeout_ms));
          member.timeout_ms *= 2;
        }
        waiting |= member.waiting;
      }
    }
    if (!waiting) break;
    for (const auto& [place, expires_ms] : again) {
      ports_.peers->call(others[place], question, expires_ms,
                         [answered, i = place](const Status& status, kvdpb::PeerResponse&& response) {
                           answered(i, status, response);
                         });
    }
    going_on = sleep(kAskAgainMs);
  }
  std::vector<MemberHash> answers;
  const std::lock_guard lock(asked->mutex);
  for (const Asked::Member& member : asked->members) {
    if (member.answer) {
      answers.push_back(*member.answer);
    } else {
      log_warning("a member's state could not be compared",
                  {{"member", hex_id(member.id.value())}, {"revision", own.hash_revision}, {"why", member.trouble}});
    }
  }
  return answers;
}

Status CorruptionCheck::check_at_start(int64_t patience_ms) {
  const std::vector<raft::NodeId> others = ports_.others();
  if (others.empty()) return {};
  const auto own =
      hash_now(0, [this](size_t) { return sleep(0); }, maintenance_metrics().hash_revision_seconds);
  if (!own.ok()) return own.status();
  const auto answers = ask(others, *own, ports_.clock->monotonic_ms() + patience_ms);
  size_t agree = 1;
  std::string differ;
  for (const MemberHash& answer : answers) {
    if (answer.hash == own->hash) {
      ++agree;
    } else {
      differ += (differ.empty() ? "" : ", ") + hex_id(answer.member);
    }
  }
  if (differ.empty()) {
    log_info("the state was compared with the other members'", {{"revision", own->hash_revision}, {"agree", agree}});
    return {};
  }
  if (agree > (others.size() + 1) / 2) {
    log_error("another member's state differs from the majority's",
              {{"members", differ}, {"revision", own->hash_revision}, {"agree", agree}});
    return {};
  }
  return {Code::kDataLoss,
          "member " + hex_id(ports_.self.value()) + " found data inconsistency with peers: at revision " +
              std::to_string(own->hash_revision) + " its state differs from that of " + differ +
              ", and no majority has this one's. Remove this member and add it anew, or restore a backup"};
}

void CorruptionCheck::watch() {
  name_this_thread("kvd-corrupt-check");
  while (sleep(options_.interval_ms)) {
    if (ports_.leads()) check();
  }
}

void CorruptionCheck::check() {
  static Counter& checks =
      Metrics::global().counter("kvd_corruption_checks_total", "Comparisons of the members' states by this leader");
  const std::vector<raft::NodeId> others = ports_.others();
  if (others.empty()) return;
  const auto own = hash_now(0, pace(), maintenance_metrics().hash_revision_seconds);
  if (!own.ok()) {
    log_warning("this member's state could not be hashed", {{"error", own.status().text()}});
    return;
  }
  auto answers = ask(others, *own, ports_.clock->monotonic_ms() + options_.behind_ms);
  const size_t compared = answers.size();
  answers.push_back({ports_.self.value(), own->hash});
  checks.add();
  const auto differ = who_differs(answers, others.size() + 1);
  for (const MemberHash& answer : differ.empty() ? std::vector<MemberHash>() : answers) {
    log_error("members' states differ", {{"member", hex_id(answer.member)},
                                         {"revision", own->hash_revision},
                                         {"compact_revision", own->compact_revision},
                                         {"hash", answer.hash ? std::to_string(*answer.hash) : "falls short"}});
  }
  for (const uint64_t member : differ) {
    if (member == 0) log_error("no majority of members agrees; the whole cluster is taken for corrupt");
    ports_.corrupt(member);
  }
  if (differ.empty()) {
    log_info("the members' states were compared",
             {{"revision", own->hash_revision}, {"members", compared + 1}, {"of", others.size() + 1}});
  }
}

}  // namespace kv::server
