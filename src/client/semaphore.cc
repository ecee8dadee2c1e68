#include "client/semaphore.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "client/queue.h"

namespace kv::client {
namespace {

// Bounds what is done for good order's sake.
constexpr std::chrono::seconds kCleanUp{5};

Status expired() { return Status(Code::kAborted, "semaphore: session is expired"); }

std::string permits_key(std::string_view name) { return std::string(name) + "/permits"; }
std::string queue_prefix(std::string_view name) { return std::string(name) + "/queue/"; }

Status check_number(int64_t permits) {
  if (permits >= 1 && permits <= Semaphore::kPermitsMax) return {};
  return Status(Code::kInvalidArgument, "semaphore: permits must be from 1 to " +
                                            std::to_string(Semaphore::kPermitsMax) + ", not " +
                                            std::to_string(permits));
}

// The places in their order, at most `limit` of them.
GetOptions in_order(std::string_view prefix, int64_t limit) {
  GetOptions options = oldest_under(prefix);
  options.limit = limit;
  return options;
}

SemaphorePlace place_of(KeyValue&& kv) {
  return {.identity = std::move(kv.value), .key = std::move(kv.key), .lease = kv.lease, .revision = kv.create_revision};
}

}  // namespace

Semaphore::Semaphore(Session& session, std::string_view name, int64_t permits, std::string_view identity)
    : session_(session), name_(name), permits_(permits), identity_(identity) {}

Semaphore::~Semaphore() {
  if (!key_.empty()) (void)release(at_most(kCleanUp));
}

Status Semaphore::check_kept(std::string_view number) const {
  if (number == std::to_string(permits_)) return {};
  return Status(Code::kFailedPrecondition, "semaphore: " + name_ + " has " + std::string(number) +
                                               " permits in the cluster, not " + std::to_string(permits_));
}

Status Semaphore::enter(const Wait& wait, bool& holds) {
  KV_RETURN_IF_ERROR(check_number(permits_));
  const std::string prefix = queue_prefix(name_);
  const std::string number = std::to_string(permits_);
  key_ = queue_key(prefix, session_);
  const Op first = get_op(prefix, in_order(prefix, permits_));
  const Op put = put_op(key_, identity_, {.lease = session_.lease()});
  const Op mine = get_op(key_);
  // The first who ever asks says how many permits there are; it does no more when it is repeated.
  Txn again;
  again.when({compare_value(permits_key(name_), Comparison::kEqual, number),
              compare_create_revision(key_, Comparison::kEqual, 0)})
      .then({mine, put, mine, first})
      .otherwise({get_op(permits_key(name_)), mine, mine, first});
  Txn txn;
  txn.when({compare_version(permits_key(name_), Comparison::kEqual, 0)})
      .then({put_op(permits_key(name_), number), put, mine, first})
      .otherwise({txn_op(again)});
  const auto done = patiently(wait, [&](const CallOptions& call) { return session_.client().commit(txn, call); });
  if (!done.ok()) {
    // It may be there all the same: a request without an answer.
    if (!session_.lost()) (void)session_.client().remove(key_);
    key_.clear();
    return session_.lost() || done.status().code() == Code::kNotFound ? expired() : done.status();
  }

  const TxnResponse* answer = &*done;
  if (!done->succeeded) {
    answer = &std::get<TxnResponse>(done->responses.at(0).answer);
    if (!answer->succeeded) {
      const Status known = check_kept(std::get<GetResponse>(answer->responses.at(0).answer).kvs.at(0).value);
      if (!known.ok()) {
        key_.clear();
        return known;
      }
    }
  }
  revision_ = std::get<GetResponse>(answer->responses.at(2).answer).kvs.at(0).create_revision;
  const auto& places = std::get<GetResponse>(answer->responses.at(3).answer).kvs;
  holds = std::any_of(places.begin(), places.end(), [&](const KeyValue& kv) { return kv.key == key_; });
  return {};
}

Status Semaphore::wait_for_permit(const Wait& wait) {
  Client& client = session_.client();
  const std::string prefix = queue_prefix(name_);
  GetOptions older_options{.range_end = prefix_end(prefix), .keys_only = true};
  older_options.max_create_revision = revision_ - 1;
  const Txn look = Txn().then({get_op(permits_key(name_)), get_op(prefix, older_options)});
  for (;;) {
    const auto got = patiently(wait, [&](const CallOptions& call) { return client.commit(look, call); });
    if (!got.ok()) return got.status();
    const auto& number = std::get<GetResponse>(got->responses.at(0).answer).kvs;
    KV_RETURN_IF_ERROR(check_kept(number.empty() ? "no" : number.front().value));
    // Those before us: they only get fewer, by deletions that a watch tells. So a release costs a waiter one event and no
    // request.
    std::set<std::string> older;
    for (const KeyValue& kv : std::get<GetResponse>(got->responses.at(1).answer).kvs) older.insert(kv.key);
    const auto may = [&] { return older.size() < static_cast<size_t>(permits_); };
    if (may()) return {};
    // All of NAME/, because the number of permits is of interest too.
    Watcher watcher = client.watch(name_ + "/", {.range_end = prefix_end(name_ + "/"),
                                                 .start_revision = got->header.revision + 1});
    while (!may()) {
      auto next = watcher.next(wait);
      if (!next.ok() && next.status().code() == Code::kOutOfRange) break;  // compacted: look again
      if (!next.ok()) return next.status();
      for (const Event& event : next->events) {
        if (event.kv.key == permits_key(name_)) {
          KV_RETURN_IF_ERROR(check_kept(event.type == EventType::kPut ? event.kv.value : "no"));
        }
        if (event.type != EventType::kDelete) continue;
        if (event.kv.key == key_) return expired();
        older.erase(event.kv.key);
      }
    }
    if (may()) return {};
  }
}

// Our own place may have gone while we waited for others'.
Status Semaphore::check_mine(const Wait& wait) {
  const auto mine = patiently(wait, [&](const CallOptions& call) { return session_.client().get(key_, {}, call); });
  if (!mine.ok()) return mine.status();
  return !mine->kvs.empty() && mine->kvs.front().create_revision == revision_ ? Status() : expired();
}

void Semaphore::give_up() {
  if (!session_.lost() && !leave_queue(session_.client(), key_, revision_, at_most(kCleanUp)).ok()) return;
  key_.clear();
  revision_ = 0;
}

Status Semaphore::acquire(const Wait& wait) {
  const EitherStop stop(wait.stop, session_.lost_token());
  const Wait while_alive{.deadline = wait.deadline, .stop = stop.token()};
  bool holds = false;
  KV_RETURN_IF_ERROR(enter(while_alive, holds));
  if (holds) return {};
  Status status = wait_for_permit(while_alive);
  if (status.ok()) status = check_mine(while_alive);
  if (status.ok()) return status;
  give_up();
  return session_.lost() ? expired() : status;
}

Status Semaphore::try_acquire() {
  const EitherStop stop({}, session_.lost_token());
  const Wait while_alive{.deadline = at_most(kCleanUp).deadline, .stop = stop.token()};
  bool holds = false;
  KV_RETURN_IF_ERROR(enter(while_alive, holds));
  if (holds) return {};
  give_up();
  return Status(Code::kAborted, "semaphore: all " + std::to_string(permits_) + " permits are taken");
}

Status Semaphore::release(const Wait& wait) {
  if (key_.empty()) return Status(Code::kFailedPrecondition, "semaphore: permit has already been released");
  const EitherStop stop(wait.stop, session_.lost_token());
  const auto left = leave_queue(session_.client(), key_, revision_, {.deadline = wait.deadline, .stop = stop.token()});
  if (!left.ok() && !session_.lost()) return left.status();
  key_.clear();
  revision_ = 0;
  return left.ok() && *left ? Status() : expired();
}

Compare Semaphore::is_holder() const { return compare_create_revision(key_, Comparison::kEqual, revision_); }

Result<std::vector<SemaphorePlace>> Semaphore::holders(const CallOptions& call) {
  auto now = state(session_.client(), name_, call);
  if (!now.ok()) return now.status();
  return std::move(now->holders);
}

Result<SemaphoreState> Semaphore::state(Client& client, std::string_view name, const CallOptions& call) {
  const std::string prefix = queue_prefix(name);
  auto done = client.commit(Txn().then({get_op(permits_key(name)), get_op(prefix, in_order(prefix, 0))}), call);
  if (!done.ok()) return done.status();
  const auto& kept = std::get<GetResponse>(done->responses.at(0).answer).kvs;
  if (kept.empty()) return Status(Code::kNotFound, "semaphore: there is no " + std::string(name));
  SemaphoreState state{.header = done->header};
  const std::string& number = kept.front().value;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), state.permits);
  if (error != std::errc() || end != number.data() + number.size() || !check_number(state.permits).ok()) {
    return Status(Code::kFailedPrecondition,
                  "semaphore: " + permits_key(name) + " is no number of permits: \"" + number + "\"");
  }
  for (KeyValue& kv : std::get<GetResponse>(done->responses.at(1).answer).kvs) {
    auto& list = state.holders.size() < static_cast<size_t>(state.permits) ? state.holders : state.waiters;
    list.push_back(place_of(std::move(kv)));
  }
  return state;
}

Status Semaphore::set_permits(Client& client, std::string_view name, int64_t permits, const CallOptions& call) {
  KV_RETURN_IF_ERROR(check_number(permits));
  return client.put(permits_key(name), std::to_string(permits), {}, call).status();
}

}  // namespace kv::client
