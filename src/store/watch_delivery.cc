// The hub's way of the events: what is new for the synced watchers, and history for the others.
#include <algorithm>
#include <utility>

#include "store/change_source.h"
#include "store/watch_hub.h"
#include "store/watch_state.h"

namespace kv::store {

// ---- What is new

void WatchHub::deliver_new() {
  const int64_t present = source_.revision();
  // After the revision: of what was committed after rights were lost nothing may go out.
  check_rights();
  while (cursor_ < present) {
    while (!waiting_.empty() && waiting_.begin()->first <= cursor_ + 1) {
      Watcher& watcher = *waiting_.begin()->second;
      detach(watcher);
      sync(watcher);
    }
    deliver_up_to(waiting_.empty() ? present : std::min(present, waiting_.begin()->first - 1));
  }
}

void WatchHub::deliver_up_to(int64_t upto) {
  const Rev from{cursor_ + 1, 0};
  cursor_ = upto;
  if (synced_ == 0) return;
  Predecessors predecessors(source_);
  Status status;
  int64_t revision = 0;
  const Result<bool> recent = source_.read_recent(from, upto, [&](const Change& change) {
    if (change.record.mod.main != revision && pending_bytes_ >= options_.chunk_bytes) flush();
    revision = change.record.mod.main;
    event_.clear();
    event_with_prev_.clear();
    index_.match(change.key, [&](Group& group) {
      if (status.ok()) status = add_event(group, change, predecessors);
    });
    return status.ok();
  });
  if (recent.ok() && *recent && status.ok()) return flush();

  std::vector<Watcher*> synced;
  std::vector<Stream*> streams;
  for (const auto& [number, stream] : streams_) {
    streams.push_back(stream.get());
    for (const auto& [id, watcher] : stream->watchers) {
      if (watcher->state == Watcher::State::kSynced) synced.push_back(watcher.get());
    }
  }
  if (recent.ok() && status.ok()) {
    // More was committed than the ring holds, in one go: everybody reads it from history.
    for (Watcher* const watcher : synced) {
      detach(*watcher);
      unsync(*watcher, from);
    }
    return;
  }
  for (Group* const group : touched_) {
    group->pending = nullptr;
    group->overflowed = false;
  }
  touched_.clear();
  pending_bytes_ = 0;
  fail(streams, recent.ok() ? status : recent.status());
}

Status WatchHub::add_event(Group& group, const Change& change, Predecessors& predecessors) {
  if (change.record.tombstone ? group.spec.no_delete : group.spec.no_put) return {};
  if (group.overflowed || (group.riding && change.record.mod < group.riders_from)) return {};
  std::string* event = &event_;
  if (group.spec.prev_kv && !change.record.prev.none()) {
    event = &event_with_prev_;
    if (event->empty()) {
      Record prev;
      const Result<bool> found = predecessors.find(change, &prev);
      if (!found.ok()) return found.status();
      append_watch_event(change, *found ? &prev : nullptr, event);
    }
  } else if (event->empty()) {
    append_watch_event(change, nullptr, event);
  }
  if (!group.pending) {
    group.pending = std::make_shared<WatchEvents>();
    touched_.push_back(&group);
  }
  WatchEvents& pending = *group.pending;
  // Offsets are of 32 bits; a revision of four gigabytes can't be sent in one message anyway.
  if (pending.bytes.size() + event->size() > INT32_MAX) {
    return {Code::kResourceExhausted, "watch: the events of one revision are too large for one response"};
  }
  pending.bytes += *event;
  pending.events.push_back({change.record.mod, static_cast<uint32_t>(pending.bytes.size())});
  pending_bytes_ += event->size();
  // Parts are for the way through history, where they can be read one by one.
  group.overflowed = !group.riding && group.spec.fragment && pending.bytes.size() > options_.chunk_bytes;
  return {};
}

void WatchHub::flush() {
  for (Group* const group : touched_) {
    WatchSlice slice;
    slice.all = std::move(group->pending);
    slice.last = slice.all->events.size();
    const bool overflowed = std::exchange(group->overflowed, false);
    const Rev first{slice.all->events.front().rev.main, 0};
    for (size_t i = 0; i < group->synced.size();) {
      Watcher& watcher = *group->synced[i];
      if (overflowed || blocked(*watcher.stream, &watcher)) {
        detach(watcher);  // another is in its position now
        unsync(watcher, first);
        continue;
      }
      send(watcher, slice.all->events.back().rev.main, slice, false);
      ++i;
    }
  }
  touched_.clear();
  pending_bytes_ = 0;
}

void WatchHub::send(Watcher& watcher, int64_t revision, const WatchSlice& slice, bool more) {
  watcher.active = true;
  events_sent_ += slice.size();
  watcher.stream->sink->events(watcher.id, revision, slice, more, watcher.group->spec.fragment);
}

// ---- What is past

struct WatchHub::Chunk {
  Rev end;                    // what follows begins here
  bool mid_revision = false;  // ... within a revision
};

void WatchHub::catch_up() {
  if (turns_.empty()) return;
  Watcher& leader = *turns_.front();
  Stream& stream = *leader.stream;
  if (blocked(stream, &leader)) {
    detach(leader);
    return unsync(leader, leader.place);
  }
  if (compacted(leader)) {
    cancel_compacted(leader);
    return take_up(stream);
  }
  std::vector<Watcher*> riders = riders_of(leader);
  Chunk chunk;
  const Status status = read_chunk(riders, &chunk);
  std::vector<Watcher*> too_late;
  if (status.ok()) {
    // While it was read, a compaction may have taken some of it away.
    for (Watcher* const rider : riders) compacted(*rider) ? too_late.push_back(rider) : hand_out(*rider, chunk);
  }
  for (Group* const group : touched_) group->pending = nullptr;
  touched_.clear();
  pending_bytes_ = 0;
  for (Watcher* const rider : too_late) cancel_compacted(*rider);
  if (!status.ok()) {
    std::vector<Stream*> streams;
    for (const Watcher* const rider : riders) streams.push_back(rider->stream);
    std::sort(streams.begin(), streams.end(), [](auto* a, auto* b) { return a->number < b->number; });
    streams.erase(std::unique(streams.begin(), streams.end()), streams.end());
    return fail(streams, status);
  }
  // A watcher that was sent all parts of a revision has held up its stream.
  if (!stream.parked.empty() || !stream.held.empty()) take_up(stream);
}

bool WatchHub::compacted(const Watcher& watcher) const { return watcher.place.main < source_.compact_revision(); }

void WatchHub::cancel_compacted(Watcher& watcher) {
  Stream& stream = *watcher.stream;
  if (blocked(stream, &watcher)) {
    detach(watcher);
    return unsync(watcher, watcher.place);
  }
  const int64_t id = watcher.id;
  remove(watcher);
  stream.sink->canceled(id, 0, source_.compact_revision(), {});
}

// Those who read on from somewhere at or after the leader's place. Whoever takes revisions in parts goes alone, since
// the parts are cut to measure.
std::vector<WatchHub::Watcher*> WatchHub::riders_of(Watcher& leader) {
  std::vector<Watcher*> riders{&leader};
  if (leader.group->spec.fragment) return riders;
  for (auto it = places_.lower_bound({leader.place, 0}); it != places_.end() && riders.size() < options_.riders_max;
       ++it) {
    if (it->second != &leader && !it->second->group->spec.fragment) riders.push_back(it->second);
  }
  return riders;
}

Status WatchHub::read_chunk(const std::vector<Watcher*>& riders, Chunk* chunk) {
  const Watcher& leader = *riders.front();
  const bool in_parts = leader.group->spec.fragment;
  WatchIndex<Group> index;
  std::vector<Group*> groups;
  for (Watcher* const rider : riders) {
    Group& group = *rider->group;
    if (group.riding) continue;  // riders come in the order of their places
    group.riding = true;
    group.riders_from = rider->place;
    groups.push_back(&group);
    index.add(group.spec.range(), &group);
  }
  chunk->end = {cursor_ + 1, 0};
  Predecessors predecessors(source_);
  size_t changes = 0;
  int64_t revision = 0;
  Status status;
  const Status read = source_.read(leader.place, cursor_, [&](const Change& change) {
    const bool enough = pending_bytes_ >= options_.chunk_bytes || changes >= options_.chunk_changes;
    const bool border = change.record.mod.main != revision;
    if (enough && changes > 0 && (border || (in_parts && pending_bytes_ >= options_.chunk_bytes))) {
      chunk->end = border ? Rev{change.record.mod.main, 0} : change.record.mod;
      chunk->mid_revision = !border;
      return false;
    }
    revision = change.record.mod.main;
    ++changes;
    event_.clear();
    event_with_prev_.clear();
    index.match(change.key, [&](Group& group) {
      if (status.ok()) status = add_event(group, change, predecessors);
    });
    return status.ok();
  });
  for (Group* const group : groups) group->riding = false;
  return read.ok() ? status : read;
}

void WatchHub::hand_out(Watcher& rider, const Chunk& chunk) {
  if (rider.place >= chunk.end) return;  // it went a way of its own already
  Stream& stream = *rider.stream;
  WatchSlice slice;
  if (rider.group->pending) {
    slice.all = rider.group->pending;
    const auto& events = slice.all->events;
    slice.last = events.size();
    slice.first = static_cast<size_t>(
        std::partition_point(events.begin(), events.end(), [&](const auto& e) { return e.rev < rider.place; }) -
        events.begin());
  }
  const bool ends_parts = rider.mid_revision && !chunk.mid_revision;
  if (!slice.empty() || ends_parts) {
    if (blocked(stream, &rider)) {
      detach(rider);
      return unsync(rider, rider.place);
    }
    const bool caught_up = chunk.end.main > cursor_;
    const bool more = chunk.mid_revision;
    send(rider, caught_up ? cursor_ : more ? chunk.end.main : chunk.end.main - 1, slice, more);
  }
  detach(rider);
  if (chunk.mid_revision && (rider.mid_revision || !slice.empty())) {
    rider.mid_revision = true;
    stream.exclusive = &rider;
  } else if (ends_parts) {
    rider.mid_revision = false;
    stream.exclusive = nullptr;
  }
  if (chunk.end.main > cursor_) {
    sync(rider);
  } else {
    unsync(rider, chunk.end);
  }
}

}  // namespace kv::store
