// What the hub keeps of streams, groups and watchers. Included by the hub's own sources only.
#pragma once

#include <deque>
#include <functional>

#include "store/watch_hub.h"

namespace kv::store {

// Watchers that ask for the same.
struct WatchHub::Group {
  GroupKey key;
  WatchSpec spec;  // of any of them
  size_t watchers = 0;
  std::vector<Watcher*> synced;  // in no order that matters

  std::shared_ptr<WatchEvents> pending;  // matched and not sent yet; null: none
  bool overflowed = false;               // `pending` does not have all: there is too much for one response
  bool riding = false;                   // has a watcher in the chunk that is being read ...
  Rev riders_from;                       // ... and the first place of these
};

struct WatchHub::Watcher {
  enum class State : uint8_t { kDetached, kSynced, kWaiting, kReady, kParked };

  uint64_t number;
  int64_t id;
  Stream* stream;
  Group* group;
  bool progress_notify;
  bool active = false;        // was sent events since the last progress notification
  bool mid_revision = false;  // was sent a part of a revision's events
  State state = State::kDetached;
  Rev place;                                       // ready and parked: what was not sent yet begins here
  size_t position = 0;                             // synced: in the group's list
  std::multimap<int64_t, Watcher*>::iterator due;  // waiting: in waiting_
  std::list<Watcher*>::iterator turn;              // ready: in turns_; parked: in the stream's list
};

class WatchHub::Stream {
 public:
  uint64_t number;
  std::shared_ptr<WatchSink> sink;
  std::map<int64_t, std::unique_ptr<Watcher>> watchers;  // by id
  int64_t next_id = 0;
  size_t behind = 0;                       // watchers that are not synced
  std::list<Watcher*> parked;              // unsynced, and the stream can't take more of them
  std::deque<std::function<void()>> held;  // what was asked while it could not take the answer
  bool full = false;                       // more is queued than may be; drained() will be called
  // Was sent a part of a revision: clients put the parts together only when they come one after the other.
  Watcher* exclusive = nullptr;
  bool progress_asked = false;
  std::multimap<int64_t, Stream*>::iterator progress_due;
};

}  // namespace kv::store
