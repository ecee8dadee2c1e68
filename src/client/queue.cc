#include "client/queue.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "client/wait_for.h"

namespace kv::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

Status over(const Wait& wait) {
  if (wait.stop.stop_requested()) return Status(Code::kCanceled, "context canceled");
  if (steady_clock::now() >= wait.deadline) return Status(Code::kDeadlineExceeded, "context deadline exceeded");
  return {};
}

// Waits until `watcher` has seen its key deleted. Ok, too, when that can no longer be seen: the key is looked at again.
Status wait_deleted(Watcher& watcher, const Wait& wait) {
  for (;;) {
    const auto next = watcher.next(wait);
    if (!next.ok()) return next.status().code() == Code::kOutOfRange ? Status() : next.status();
    const auto& events = next->events;
    if (std::any_of(events.begin(), events.end(), [](const Event& e) { return e.type == EventType::kDelete; })) {
      return {};
    }
  }
}

}  // namespace

std::string queue_key(std::string_view prefix, const Session& session) {
  std::array<char, 16> hex{};
  const auto end = std::to_chars(hex.data(), hex.data() + hex.size(), static_cast<uint64_t>(session.lease()), 16).ptr;
  return std::string(prefix).append(hex.data(), end);
}

GetOptions oldest_under(std::string_view prefix) {
  return {.range_end = prefix_end(prefix),
          .limit = 1,
          .sort_order = SortOrder::kAscend,
          .sort_target = SortTarget::kCreateRevision};
}

CallOptions call_within(const Wait& wait) {
  if (wait.deadline == steady_clock::time_point::max()) return {};
  const auto left = std::chrono::ceil<milliseconds>(wait.deadline - steady_clock::now());
  return {.timeout = std::max(left, milliseconds(1))};
}

bool worth_repeating(const Status& status) {
  return status.code() == Code::kUnavailable || status.code() == Code::kDeadlineExceeded ||
         status.code() == Code::kCanceled;
}

Status pause_within(const Wait& wait, milliseconds pause) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  const Wait within{.deadline = std::min(wait.deadline, steady_clock::now() + pause), .stop = wait.stop};
  (void)wait_for(never, lock, within, [] { return false; });
  return over(wait);
}

Result<Place> enter_queue(Session& session, std::string_view prefix, std::string_view value, const Wait& wait) {
  KV_RETURN_IF_ERROR(over(wait));
  const std::string key = queue_key(prefix, session);
  const Op first = get_op(prefix, oldest_under(prefix));
  Txn txn;
  txn.when({compare_create_revision(key, Comparison::kEqual, 0)})
      .then({put_op(key, value, {.lease = session.lease()}), first})
      .otherwise({get_op(key), first});
  const auto done = patiently(wait, [&](const CallOptions& call) { return session.client().commit(txn, call); });
  if (!done.ok()) return done.status();

  Place place{.revision = done->header.revision, .header = done->header};
  if (!done->succeeded) {
    const KeyValue& mine = std::get<GetResponse>(done->responses.at(0).answer).kvs.at(0);
    place.revision = mine.create_revision;
    place.value = mine.value;
  }
  const auto& oldest = std::get<GetResponse>(done->responses.at(1).answer).kvs;
  place.first = oldest.empty() || oldest.front().create_revision == place.revision;
  return place;
}

Status wait_for_turn(Client& client, std::string_view prefix, int64_t revision, const Wait& wait) {
  // The one right before us is waited for, and nobody else: a lock that comes free wakes one. When it goes, its turn
  // may not have come yet: whoever is then right before us is next.
  GetOptions before{.range_end = prefix_end(prefix),
                    .limit = 1,
                    .sort_order = SortOrder::kDescend,
                    .sort_target = SortTarget::kCreateRevision,
                    .max_create_revision = revision - 1};
  for (;;) {
    KV_RETURN_IF_ERROR(over(wait));
    const auto got = patiently(wait, [&](const CallOptions& call) { return client.get(prefix, before, call); });
    if (!got.ok()) return got.status();
    if (got->kvs.empty()) return {};
    Watcher watcher = client.watch(got->kvs.front().key, {.start_revision = got->header.revision + 1, .no_put = true});
    KV_RETURN_IF_ERROR(wait_deleted(watcher, wait));
  }
}

Result<bool> leave_queue(Client& client, const std::string& key, int64_t revision, const Wait& wait) {
  Txn txn;
  txn.when({compare_create_revision(key, Comparison::kEqual, revision)}).then({remove_op(key)});
  bool repeated = false;
  const auto done = patiently(wait, [&](const CallOptions& call) {
    auto answer = client.commit(txn, call);
    // What an unanswered request deleted is gone at the next.
    if (answer.ok() && repeated) answer->succeeded = true;
    repeated = true;
    return answer;
  });
  if (!done.ok()) return done.status();
  return done->succeeded;
}

}  // namespace kv::client
