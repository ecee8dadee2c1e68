#include "client/cache.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/thread.h"
#include "client/queue.h"
#include "client/range.h"
#include "client/wait_for.h"

namespace kv::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long a change is waited for before the server is asked whether there is one.
constexpr milliseconds kAskFirst{20};
constexpr milliseconds kAskMax{1000};

}  // namespace

Result<std::unique_ptr<Cache>> Cache::create(Client& client, std::string_view prefix, CacheOptions options) {
  std::unique_ptr<Cache> cache(new Cache(client, prefix, std::move(options)));
  auto state = cache->load(cache->revision_);
  if (!state.ok()) return state.status();
  cache->state_ = *std::move(state);
  cache->thread_ = std::jthread([at = cache.get()](const std::stop_token& stop) {
    name_this_thread("kv-cache");
    at->keep(stop);
  });
  return cache;
}

Cache::Cache(Client& client, std::string_view prefix, CacheOptions options)
    : client_(client), prefix_(prefix), options_(std::move(options)) {}

Cache::~Cache() = default;

std::optional<KeyValue> Cache::get(std::string_view key) const {
  const std::lock_guard lock(mutex_);
  const auto at = state_.find(key);
  return at != state_.end() ? std::optional(at->second) : std::nullopt;
}

std::vector<KeyValue> Cache::list(std::string_view prefix) const {
  std::vector<KeyValue> found;
  const std::lock_guard lock(mutex_);
  for (auto at = state_.lower_bound(prefix); at != state_.end() && at->first.starts_with(prefix); ++at) {
    found.push_back(at->second);
  }
  return found;
}

size_t Cache::size() const {
  const std::lock_guard lock(mutex_);
  return state_.size();
}

int64_t Cache::revision() const {
  const std::lock_guard lock(mutex_);
  return revision_;
}

Status Cache::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

Status Cache::wait_revision(int64_t revision, const Wait& wait) const {
  milliseconds pause = kAskFirst;
  std::unique_lock lock(mutex_);
  for (;;) {
    // What this waits for is most often a change that is on its way.
    const Wait within{.deadline = std::min(wait.deadline, steady_clock::now() + pause), .stop = wait.stop};
    const Status s = wait_for(changed_, lock, within, [&] { return revision_ >= revision || !status_.ok(); });
    if (revision_ >= revision) return {};
    if (!status_.ok()) return status_;
    if (wait.stop.stop_requested() || steady_clock::now() >= wait.deadline) return s;
    lock.unlock();
    compare(wait);
    lock.lock();
    pause = std::min(2 * pause, kAskMax);
  }
}

// If the store's newest state is what is shown, then that is known of all revisions up to it. A key that was put since
// has a larger revision, and where keys were only deleted there are fewer.
//
// A watch's answer to a request for progress would be cheaper and can't be relied on: etcd before 3.4.25 and 3.5.8
// gives it before events that belong in front of it.
void Cache::compare(const Wait& wait) const {
  const int64_t shown = revision();
  const auto newer =
      client_.get(prefix_.empty() ? unbounded() : prefix_,
                  {.range_end = prefix_end(prefix_), .limit = 1, .keys_only = true, .min_mod_revision = shown + 1},
                  call_within(wait));
  if (!newer.ok() || !newer->kvs.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    if (revision_ != shown || state_.size() != static_cast<size_t>(newer->count)) return;
    revision_ = std::max(revision_, newer->header.revision);
  }
  changed_.notify_all();
}

// One state of the store, and its revision.
Result<Cache::State> Cache::load(int64_t& revision) const {
  State state;
  Range range(client_, prefix_.empty() ? unbounded() : prefix_,
              {.range_end = prefix_end(prefix_), .call = options_.call});
  for (const KeyValue& kv : range) state.emplace_hint(state.end(), kv.key, kv);
  if (!range.status().ok()) return range.status();
  revision = range.revision();
  return state;
}

void Cache::keep(const std::stop_token& stop) {
  Status why;
  while (why.ok()) {
    why = follow(stop);
    if (why.code() == Code::kOutOfRange) why = reload(stop);
  }
  if (stop.stop_requested()) return;
  {
    const std::lock_guard lock(mutex_);
    status_ = why;
  }
  changed_.notify_all();
  if (options_.on_end) options_.on_end(why);
}

// Takes in what the watch tells, until that is over.
Status Cache::follow(const std::stop_token& stop) {
  Watcher watcher =
      client_.watch(prefix_.empty() ? unbounded() : prefix_, {.range_end = prefix_end(prefix_),
                                                              .start_revision = revision() + 1,
                                                              .buffer_bytes_max = options_.buffer_bytes_max});
  for (;;) {
    auto next = watcher.next({.stop = stop});
    if (!next.ok()) return next.status();
    apply(*std::move(next));
  }
}

// What the watch could not tell is found by comparison.
Status Cache::reload(const std::stop_token& stop) {
  const Wait wait{.stop = stop};
  for (;;) {
    int64_t revision = 0;
    auto state = patiently(wait, [&](const CallOptions&) { return load(revision); });
    if (state.ok()) {
      replace(*std::move(state), revision);
      return {};
    }
    // Compacted while it was read: so the next attempt finds something newer.
    if (state.status().code() != Code::kOutOfRange) return state.status();
    KV_RETURN_IF_ERROR(pause_within(wait));
  }
}

void Cache::apply(WatchResponse&& response) {
  if (response.progress()) return;
  {
    const std::lock_guard lock(mutex_);
    // compare() has found that these make no difference: of keys that came and went.
    std::erase_if(response.events, [&](const Event& event) { return event.kv.mod_revision <= revision_; });
    if (response.events.empty()) return;
    for (Event& event : response.events) {
      const auto at = state_.find(event.kv.key);
      event.prev_kv = at != state_.end() ? std::optional(std::move(at->second)) : std::nullopt;
      if (event.type == EventType::kPut) {
        state_.insert_or_assign(event.kv.key, event.kv);
      } else if (at != state_.end()) {
        state_.erase(at);
      }
    }
    revision_ = response.events.back().kv.mod_revision;
  }
  changed_.notify_all();
  tell(response.events);
}

void Cache::replace(State&& state, int64_t revision) {
  std::vector<Event> events;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [key, old] : state_) {
      if (state.contains(key)) continue;
      KeyValue gone{.key = key, .mod_revision = revision};
      events.push_back({.type = EventType::kDelete, .kv = std::move(gone), .prev_kv = old});
    }
    for (const auto& [key, kv] : state) {
      const auto at = state_.find(key);
      if (at != state_.end() && at->second.mod_revision == kv.mod_revision) continue;
      events.push_back({.kv = kv, .prev_kv = at != state_.end() ? std::optional(at->second) : std::nullopt});
    }
    state_ = std::move(state);
    revision_ = std::max(revision_, revision);
  }
  changed_.notify_all();
  tell(events);
}

void Cache::tell(const std::vector<Event>& events) const {
  if (options_.on_change && !events.empty()) options_.on_change(*this, events);
}

}  // namespace kv::client
