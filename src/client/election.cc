#include "client/election.h"

#include <utility>

#include "client/queue.h"

namespace kv::client {
namespace {

constexpr std::chrono::seconds kCleanUp{5};

Status not_leader() { return Status(Code::kFailedPrecondition, "election: not leader"); }
Status expired() { return Status(Code::kAborted, "election: session is expired"); }

}  // namespace

ElectionObserver::ElectionObserver(Client& client, std::string_view name)
    : client_(client), prefix_(std::string(name) + '/') {}

Result<Leadership> ElectionObserver::next(const Wait& wait) {
  for (;;) {
    if (!ready_.empty()) {
      Leadership leadership = std::move(ready_.front());
      ready_.pop_front();
      return leadership;
    }
    auto found = watcher_ ? follow(wait) : look(wait);
    if (!found.ok()) return found.status();
    if (*found) return **std::move(found);
  }
}

// Asks who leads, and watches that one, or for anyone.
Result<std::optional<Leadership>> ElectionObserver::look(const Wait& wait) {
  const auto got =
      patiently(wait, [&](const CallOptions& call) { return client_.get(prefix_, oldest_under(prefix_), call); });
  if (!got.ok()) return got.status();
  has_leader_ = !got->kvs.empty();
  const int64_t next = got->header.revision + 1;
  if (!has_leader_) {
    watcher_ = client_.watch(prefix_, {.range_end = prefix_end(prefix_), .start_revision = next, .no_delete = true});
    return std::optional<Leadership>();
  }
  const KeyValue& kv = got->kvs.front();
  watcher_ = client_.watch(kv.key, {.start_revision = next});
  return std::optional(Leadership{got->header, kv});
}

Result<std::optional<Leadership>> ElectionObserver::follow(const Wait& wait) {
  auto seen = watcher_->next(wait);
  if (!seen.ok()) {
    if (seen.status().code() != Code::kOutOfRange) return seen.status();
    watcher_.reset();  // compacted: look again
    return std::optional<Leadership>();
  }
  for (auto& event : seen->events) {
    if (event.type == EventType::kDelete) {
      watcher_.reset();
      break;
    }
    ResponseHeader header = seen->header;
    header.revision = event.kv.mod_revision;
    if (!has_leader_) {
      // The first who comes to an empty queue leads; what else this response holds is seen by the watch of its key.
      has_leader_ = true;
      watcher_ = client_.watch(event.kv.key, {.start_revision = event.kv.mod_revision + 1});
      return std::optional(Leadership{header, std::move(event.kv)});
    }
    ready_.push_back({header, std::move(event.kv)});
  }
  return std::optional<Leadership>();
}

Election::Election(Session& session, std::string_view name) : session_(session), name_(name), prefix_(name_ + '/') {}

Election::~Election() { (void)resign(at_most(kCleanUp)); }

void Election::clear() {
  key_.clear();
  revision_ = 0;
}

Status Election::campaign(std::string_view value, const Wait& wait) {
  const EitherStop stop(wait.stop, session_.lost_token());
  const Wait while_alive{.deadline = wait.deadline, .stop = stop.token()};
  const std::string key = queue_key(prefix_, session_);
  const auto place = enter_queue(session_, prefix_, value, while_alive);
  if (!place.ok()) {
    if (!session_.lost()) (void)session_.client().remove(key);
    return session_.lost() || place.status().code() == Code::kNotFound ? expired() : place.status();
  }
  key_ = key;
  revision_ = place->revision;
  header_ = place->header;

  Status status;
  if (place->value && *place->value != value) status = proclaim(value);
  if (status.ok() && !place->first) {
    status = wait_for_turn(session_.client(), prefix_, revision_, while_alive);
    if (status.ok()) {
      const auto mine =
          patiently(while_alive, [&](const CallOptions& call) { return session_.client().get(key_, {}, call); });
      status = mine.status();
      if (mine.ok() && (mine->kvs.empty() || mine->kvs.front().create_revision != revision_)) status = expired();
    }
  }
  if (status.ok()) return status;
  (void)resign(at_most(kCleanUp));
  return session_.lost() ? expired() : status;
}

Status Election::proclaim(std::string_view value) {
  if (key_.empty()) return not_leader();
  Txn txn;
  txn.when({is_leader()}).then({put_op(key_, value, {.lease = session_.lease()})});
  const auto done = session_.client().commit(txn);
  if (!done.ok()) return done.status();
  if (!done->succeeded) {
    clear();
    return not_leader();
  }
  header_ = done->header;
  return {};
}

Status Election::resign(const Wait& wait) {
  if (key_.empty()) return {};
  const EitherStop stop(wait.stop, session_.lost_token());
  const Status status =
      leave_queue(session_.client(), key_, revision_, {.deadline = wait.deadline, .stop = stop.token()}).status();
  clear();
  return session_.lost() ? Status() : status;
}

Result<Leadership> Election::leader(const CallOptions& call) {
  auto got = session_.client().get(prefix_, oldest_under(prefix_), call);
  if (!got.ok()) return got.status();
  if (got->kvs.empty()) return Status(Code::kNotFound, "election: no leader");
  return Leadership{got->header, std::move(got->kvs.front())};
}

Compare Election::is_leader() const { return compare_create_revision(key_, Comparison::kEqual, revision_); }

}  // namespace kv::client
