// A watch: every change of a key or a range, in order, without a gap and without a double.
//
//   auto watcher = client.watch("/services/", {.range_end = prefix_end("/services/"), .start_revision = 1});
//   for (;;) {
//     Result<WatchResponse> next = watcher.next();
//     if (!next.ok()) return next.status();
//     for (const Event& event : next->events) ...
//   }
//
// A watch outlives the member that serves it: when the connection breaks, or that member is cut off from its leader,
// it goes on at another endpoint, at the revision behind the last event that arrived. What the server promises of one
// stream (etcd's "ordered, unique, reliable, atomic, resumable, bookmarkable") so holds over all of them.
//
// All watches of a client share one stream. No watch has a thread: a client has one for its watch stream, and one
// for callbacks, each started when first used.
//
// The buffer is bounded. A consumer that falls behind by WatchOptions::buffer_bytes_max is paused: its watch is
// cancelled at the server and taken up again, from history, when half of the buffer has been consumed. Other watches
// don't notice. Should the history be compacted meanwhile, the watch ends as compacted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "client/types.h"
#include "client/wait.h"

namespace kv::client {

enum class EventType : uint8_t { kPut = 0, kDelete = 1 };

struct Event {
  EventType type = EventType::kPut;
  KeyValue kv{};  // of a deletion: the key, and in mod_revision the deletion's revision
  std::optional<KeyValue> prev_kv{};

  bool operator==(const Event&) const = default;
};

struct WatchOptions {
  std::string range_end{};       // empty: the one key
  int64_t start_revision = 0;    // the first revision of interest, past or future; 0: what comes from now on
  bool prev_kv = false;          // with each event what the key held before, unless that has been compacted
  bool progress_notify = false;  // from time to time (etcd: every 10 min) say how far a quiet watch is
  bool no_put = false;           // leave out puts
  bool no_delete = false;        // leave out deletions

  // What may wait for the consumer: bytes of keys and values and 64 an event. A response is never split, so one that
  // is larger than the bound is taken too, alone.
  size_t buffer_bytes_max = 16 * 1024 * 1024;
};

// Events of one or more whole revisions: all events of a revision come in one response.
struct WatchResponse {
  ResponseHeader header{};
  std::vector<Event> events{};

  // No event, but a bookmark: everything up to header.revision has been delivered.
  bool progress() const { return events.empty(); }
};

// Why a watch is over.
struct WatchEnd {
  // OutOfRange: compacted. PermissionDenied, Unauthenticated: not ours to watch. Canceled: its client is gone.
  Status status{};
  // The first revision that a new watch may start from; 0 unless compacted. What happened before it must be read as
  // state: get() the range, and watch from its header's revision + 1.
  int64_t compact_revision = 0;
  ResponseHeader header{};
};

// Run on the client's callback thread, one at a time for all watches and leases of a client: one that blocks delays
// the others, but neither keep-alives nor watchers that are pulled from. They may use the client and destroy the
// watcher.
struct WatchCallbacks {
  std::function<void(WatchResponse&&)> on_response{};
  std::function<void(const WatchEnd&)> on_end{};  // the last call
};

struct WatchState;
class WatchStream;

// The watch itself: it ends with this object. Any thread may call any function, except moving and destroying.
// A watcher may outlive its client, and then says Canceled.
class Watcher {
 public:
  Watcher(std::shared_ptr<WatchStream> stream, std::shared_ptr<WatchState> state);
  // Cancels the watch. No callback runs any more when it returns, except one that it is called from.
  ~Watcher();
  Watcher(Watcher&&) noexcept = default;
  Watcher& operator=(Watcher&&) noexcept;

  // The next response; waits for one. When the watch is over, and all that came before is taken, why: see end().
  // DeadlineExceeded and Canceled of `wait` change nothing: the next call goes on. Not for a watcher with callbacks.
  Result<WatchResponse> next(const Wait& wait = {});

  // Waits until a server has the watch, and answers the revision behind which it began: of what happens after this
  // call returned, nothing is missed, with start_revision = 0 too.
  Result<int64_t> wait_created(const Wait& wait = {});

  // Asks the server how far this client's watches are: a response with progress() comes to each of them, behind all
  // events up to its header's revision. (Servers before etcd 3.4.25 and 3.5.8 might say too much: so this bookmark is
  // passed on, but a watch that is taken up again does not start from it.) Nothing comes while there is no connection.
  void request_progress();

  // Set once the watch is over.
  std::optional<WatchEnd> end() const;

 private:
  void close();

  std::shared_ptr<WatchStream> stream_;
  std::shared_ptr<WatchState> state_;
};

}  // namespace kv::client
