#include "store/watch_hub.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "store/change_source.h"
#include "store/errors.h"
#include "store/watch_state.h"

namespace kv::store {

WatchHub::WatchHub(const ChangeSource& source, const std::atomic<uint64_t>* rights, const WatchHubOptions& options)
    : source_(source), rights_(rights), options_(options), random_(options.seed), cursor_(source.revision()) {
  if (rights_ != nullptr) rights_seen_ = rights_->load(std::memory_order_acquire);
}

WatchHub::~WatchHub() = default;

// ---- Streams

WatchHub::Stream* WatchHub::open(std::shared_ptr<WatchSink> sink, int64_t now_ms) {
  auto stream = std::make_unique<Stream>();
  stream->number = next_number_++;
  stream->sink = std::move(sink);
  // Spread, as in etcd: clients that all came back at once would all be notified at once.
  const int64_t spread = static_cast<int64_t>(
      random_.below(static_cast<uint64_t>(std::max<int64_t>(1, options_.progress_interval_ms / 10))));
  stream->progress_due = progress_due_.emplace(now_ms + options_.progress_interval_ms + spread, stream.get());
  return streams_.emplace(stream->number, std::move(stream)).first->second.get();
}

void WatchHub::close(Stream* stream) {
  while (!stream->watchers.empty()) remove(*stream->watchers.begin()->second);
  if (stream->progress_asked) std::erase(progress_asked_, stream);
  std::erase(released_, stream);
  progress_due_.erase(stream->progress_due);
  streams_.erase(stream->number);
}

void WatchHub::end(const Status& status) {
  while (!streams_.empty()) {
    Stream* const stream = streams_.begin()->second.get();
    stream->sink->failed(status);
    close(stream);
  }
}

size_t WatchHub::held_requests(const Stream* stream) const { return stream->held.size(); }

WatchHub::Counts WatchHub::counts() const {
  return {streams_.size(), watchers_, watchers_ - synced_ - waiting_.size(), groups_.size(), events_sent_};
}

bool WatchHub::blocked(Stream& stream, const Watcher* watcher) {
  if (stream.exclusive != nullptr && stream.exclusive != watcher) return true;
  if (stream.full) return true;
  if (stream.sink->queued_bytes() < options_.stream_bytes_max) return false;
  stream.full = true;
  stream.sink->call_when_drained(std::max<size_t>(1, options_.stream_bytes_max / 2));
  return true;
}

void WatchHub::drained(Stream* stream) {
  stream->full = false;
  take_up(*stream);
}

void WatchHub::take_up(Stream& stream) {
  if (stream.full) return;
  // They may be parked again at once.
  for (Watcher* const watcher : std::vector<Watcher*>(stream.parked.begin(), stream.parked.end())) {
    if (stream.exclusive != nullptr && stream.exclusive != watcher) continue;
    detach(*watcher);
    unsync(*watcher, watcher->place);
  }
  while (!stream.held.empty() && !blocked(stream, nullptr)) {
    const auto request = std::move(stream.held.front());
    stream.held.pop_front();
    request();
    stream.sink->held(stream.held.size());
  }
}

// ---- Requests

template <typename Request>
void WatchHub::ask(Stream& stream, Request request) {
  if (stream.held.empty() && !blocked(stream, nullptr)) return request();
  stream.held.push_back(std::move(request));
}

void WatchHub::create(Stream* stream, WatchSpec spec) {
  ask(*stream, [this, stream, spec = std::move(spec)]() mutable { do_create(*stream, std::move(spec)); });
}

void WatchHub::cancel(Stream* stream, int64_t watch_id) {
  ask(*stream, [this, stream, watch_id] { do_cancel(*stream, watch_id); });
}

void WatchHub::request_progress(Stream* stream) {
  ask(*stream, [this, stream] {
    if (stream->watchers.empty() || stream->progress_asked) return;
    stream->progress_asked = true;
    progress_asked_.push_back(stream);
  });
}

void WatchHub::do_create(Stream& stream, WatchSpec&& spec) {
  KV_CHECK(!spec.key.empty(), "a watch has a key; whoever reads the request sees to that");
  // "From the present on" means after all that is committed, so all that goes to the others first.
  deliver_new();
  std::string refused;
  if (spec.start_revision < 0) {
    refused = compacted_error().text();
  } else if (std::string why = stream.sink->refuse(spec); !why.empty()) {
    refused = std::move(why);
  } else if (!spec.range().single && spec.range().empty()) {
    refused = "mvcc: watcher range is empty";
  } else if (spec.watch_id != 0 && stream.watchers.contains(spec.watch_id)) {
    refused = "mvcc: duplicate watch ID provided on the WatchStream";
  }
  if (!refused.empty()) return stream.sink->created(WatchSink::kNoWatch, cursor_, refused);

  if (spec.watch_id == 0) {
    while (stream.watchers.contains(stream.next_id)) ++stream.next_id;
    spec.watch_id = stream.next_id++;
  }
  auto made = std::make_unique<Watcher>();
  Watcher& watcher = *made;
  watcher.number = next_number_++;
  watcher.id = spec.watch_id;
  watcher.stream = &stream;
  watcher.group = group_of(spec);
  watcher.progress_notify = spec.progress_notify;
  stream.watchers.emplace(spec.watch_id, std::move(made));
  ++watchers_;
  stream.sink->created(spec.watch_id, cursor_, {});
  if (spec.start_revision == 0) {
    sync(watcher);
  } else if (spec.start_revision > cursor_) {
    wait(watcher, spec.start_revision);
  } else {
    unsync(watcher, {spec.start_revision, 0});
  }
}

void WatchHub::do_cancel(Stream& stream, int64_t watch_id) {
  const auto it = stream.watchers.find(watch_id);
  if (it == stream.watchers.end()) return;
  remove(*it->second);
  stream.sink->canceled(watch_id, cursor_, 0, {});
}

void WatchHub::check_rights() {
  if (rights_ == nullptr) return;
  const uint64_t rights = rights_->load(std::memory_order_acquire);
  if (rights == rights_seen_) return;
  rights_seen_ = rights;
  for (const auto& [number, stream] : streams_) {
    const bool was_held_up = stream->exclusive != nullptr;
    for (auto it = stream->watchers.begin(); it != stream->watchers.end();) {
      Watcher& watcher = *it++->second;
      std::string why = stream->sink->refuse_again(watcher.group->spec);
      if (why.empty()) continue;
      auto tell = [this, sink = stream->sink.get(), id = watcher.id, why = std::move(why)] {
        sink->canceled(id, cursor_, 0, why);
      };
      // What it may not see any more it does not get, whether or not it can be told already.
      const bool later = !stream->held.empty() || blocked(*stream, &watcher);
      remove(watcher);
      later ? stream->held.push_back(std::move(tell)) : tell();
    }
    if (was_held_up && stream->exclusive == nullptr) released_.push_back(stream.get());
  }
}

void WatchHub::send_progress(int64_t now_ms) {
  std::erase_if(progress_asked_, [this](Stream* stream) {
    if (!stream->watchers.empty() && (stream->behind > 0 || blocked(*stream, nullptr))) return false;
    stream->progress_asked = false;
    if (!stream->watchers.empty()) stream->sink->progress(WatchSink::kNoWatch, cursor_);
    return true;
  });
  while (!progress_due_.empty() && progress_due_.begin()->first <= now_ms) {
    Stream& stream = *progress_due_.begin()->second;
    for (const auto& [id, watcher] : stream.watchers) {
      const bool idle = !std::exchange(watcher->active, false);
      if (!watcher->progress_notify || !idle || watcher->state != Watcher::State::kSynced) continue;
      if (!blocked(stream, watcher.get())) stream.sink->progress(id, cursor_);
    }
    progress_due_.erase(progress_due_.begin());
    stream.progress_due = progress_due_.emplace(now_ms + options_.progress_interval_ms, &stream);
  }
}

bool WatchHub::step(int64_t now_ms) {
  deliver_new();
  for (Stream* const stream : std::exchange(released_, {})) take_up(*stream);
  catch_up();
  send_progress(now_ms);
  return !turns_.empty() || cursor_ < source_.revision();
}

int64_t WatchHub::next_ms() const { return progress_due_.empty() ? INT64_MAX : progress_due_.begin()->first; }

void WatchHub::fail(const std::vector<Stream*>& streams, const Status& status) {
  for (Stream* const stream : streams) {
    while (!stream->watchers.empty()) remove(*stream->watchers.begin()->second);
    stream->sink->failed(status);
  }
}

// ---- The states of a watcher

WatchHub::Group* WatchHub::group_of(const WatchSpec& spec) {
  const int flags = spec.no_put | spec.no_delete << 1 | spec.prev_kv << 2 | spec.fragment << 3;
  GroupKey key{{spec.key, spec.range_end}, flags};
  std::unique_ptr<Group>& group = groups_[key];
  if (!group) {
    group = std::make_unique<Group>();
    group->key = std::move(key);
    group->spec = spec;
  }
  ++group->watchers;
  return group.get();
}

void WatchHub::sync(Watcher& watcher) {
  Group& group = *watcher.group;
  if (group.synced.empty()) index_.add(group.spec.range(), &group);
  watcher.state = Watcher::State::kSynced;
  watcher.position = group.synced.size();
  group.synced.push_back(&watcher);
  ++synced_;
}

void WatchHub::unsync(Watcher& watcher, Rev from) {
  Stream& stream = *watcher.stream;
  watcher.place = from;
  ++stream.behind;
  if (blocked(stream, &watcher)) {
    watcher.state = Watcher::State::kParked;
    watcher.turn = stream.parked.insert(stream.parked.end(), &watcher);
    return;
  }
  watcher.state = Watcher::State::kReady;
  watcher.turn = turns_.insert(turns_.end(), &watcher);
  places_.emplace(Place{from, watcher.number}, &watcher);
}

void WatchHub::wait(Watcher& watcher, int64_t revision) {
  watcher.state = Watcher::State::kWaiting;
  watcher.due = waiting_.emplace(revision, &watcher);
  ++watcher.stream->behind;
}

void WatchHub::detach(Watcher& watcher) {
  switch (std::exchange(watcher.state, Watcher::State::kDetached)) {
    case Watcher::State::kDetached: return;
    case Watcher::State::kSynced: {
      Group& group = *watcher.group;
      Watcher* const last = group.synced.back();
      group.synced[watcher.position] = last;
      last->position = watcher.position;
      group.synced.pop_back();
      if (group.synced.empty()) index_.remove(group.spec.range(), &group);
      --synced_;
      return;
    }
    case Watcher::State::kWaiting: waiting_.erase(watcher.due); break;
    case Watcher::State::kReady:
      turns_.erase(watcher.turn);
      places_.erase(Place{watcher.place, watcher.number});
      break;
    case Watcher::State::kParked: watcher.stream->parked.erase(watcher.turn); break;
  }
  --watcher.stream->behind;
}

void WatchHub::remove(Watcher& watcher) {
  Stream& stream = *watcher.stream;
  detach(watcher);
  if (stream.exclusive == &watcher) stream.exclusive = nullptr;
  Group& group = *watcher.group;
  if (--group.watchers == 0) groups_.erase(GroupKey(group.key));
  --watchers_;
  stream.watchers.erase(watcher.id);
}

}  // namespace kv::store
