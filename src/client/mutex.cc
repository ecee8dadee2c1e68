#include "client/mutex.h"

#include <utility>

#include "client/queue.h"

namespace kv::client {
namespace {

Status expired() { return Status(Code::kAborted, "mutex: session is expired"); }

// Bounds what is done for good order's sake.
constexpr std::chrono::seconds kCleanUp{5};

}  // namespace

Mutex::Mutex(Session& session, std::string_view name) : session_(session), prefix_(std::string(name) + '/') {}

Mutex::~Mutex() {
  if (!key_.empty()) (void)unlock(at_most(kCleanUp));
}

Status Mutex::enter(const Wait& wait, bool& first) {
  key_ = queue_key(prefix_, session_);
  auto place = enter_queue(session_, prefix_, "", wait);
  if (!place.ok()) {
    // It may be there all the same: a request without an answer.
    if (!session_.lost()) (void)session_.client().remove(key_);
    key_.clear();
    return session_.lost() || place.status().code() == Code::kNotFound ? expired() : place.status();
  }
  revision_ = place->revision;
  header_ = place->header;
  first = place->first;
  return {};
}

void Mutex::give_up() {
  if (!session_.lost() && !leave_queue(session_.client(), key_, revision_, at_most(kCleanUp)).ok()) return;
  key_.clear();
  revision_ = 0;
}

Status Mutex::lock(const Wait& wait) {
  const EitherStop stop(wait.stop, session_.lost_token());
  const Wait while_alive{.deadline = wait.deadline, .stop = stop.token()};
  bool first = false;
  KV_RETURN_IF_ERROR(enter(while_alive, first));
  if (first) return {};

  Status status = wait_for_turn(session_.client(), prefix_, revision_, while_alive);
  if (status.ok()) {
    // Our own key may have gone while we waited for others'.
    const auto mine =
        patiently(while_alive, [&](const CallOptions& call) { return session_.client().get(key_, {}, call); });
    status = mine.status();
    if (mine.ok()) {
      if (!mine->kvs.empty() && mine->kvs.front().create_revision == revision_) {
        header_ = mine->header;
        return {};
      }
      status = expired();
    }
  }
  give_up();
  return session_.lost() ? expired() : status;
}

Status Mutex::try_lock() {
  const EitherStop stop({}, session_.lost_token());
  const Wait while_alive{.deadline = at_most(kCleanUp).deadline, .stop = stop.token()};
  bool first = false;
  KV_RETURN_IF_ERROR(enter(while_alive, first));
  if (first) return {};
  give_up();
  return Status(Code::kAborted, "mutex: Locked by another session");
}

Status Mutex::unlock(const Wait& wait) {
  if (key_.empty()) return Status(Code::kFailedPrecondition, "mutex: lock has already been released");
  const EitherStop stop(wait.stop, session_.lost_token());
  const auto left = leave_queue(session_.client(), key_, revision_, {.deadline = wait.deadline, .stop = stop.token()});
  if (!left.ok() && !session_.lost()) return left.status();
  key_.clear();
  revision_ = 0;
  return left.ok() && *left ? Status() : expired();
}

Compare Mutex::is_owner() const { return compare_create_revision(key_, Comparison::kEqual, revision_); }

}  // namespace kv::client
