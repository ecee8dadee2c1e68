// The watch hub: tells watchers what was committed, in order, without gap or double, a revision at a time.
//
// A deterministic machine without a thread, a clock or a lock of its own: whoever drives it calls its methods from one
// thread at a time and step() as long as that answers true; WatchHubThread does so in a daemon, a simulator under a
// simulated clock. What it sends depends on the calls, on the changes, and on what the sinks say about themselves.
//
// How. The hub has a cursor, a revision. A watcher is *synced* when it has been sent everything up to the cursor: it
// then costs nothing until a change concerns it. Watchers that ask for the same (range, filters, prev_kv, fragment)
// form a group, whose events are encoded once. A watcher that starts in the past, or whose stream has more queued than
// it may, is *unsynced*: it has a place of its own in history and reads on from there in bounded chunks, one watcher
// after the other, with all those as riders whose place is in the same chunk; when it reaches the cursor it joins. One
// that starts in the future *waits*.
//
// Memory: a stream has at most stream_bytes_max queued and one response more; a response is as large as a chunk or, if
// that is larger, as a single revision (with `fragment`: as a chunk). What a stream can't take is not kept: it is read
// again when the stream has drained.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "store/watch_event.h"
#include "store/watch_index.h"

namespace kv::store {

class ChangeSource;
class Predecessors;

// What one watcher asks for, in etcd's words (WatchCreateRequest).
struct WatchSpec {
  int64_t watch_id = 0;  // 0: the hub chooses
  std::string key;       // not empty
  std::string range_end;
  int64_t start_revision = 0;  // 0: from the present on
  bool no_put = false;
  bool no_delete = false;
  bool prev_kv = false;
  bool fragment = false;  // the events of one revision may come in several responses
  bool progress_notify = false;

  KeyRange range() const { return KeyRange::of(key, range_end); }
};

// Where the responses of one stream go. Called by the hub in the order in which the client shall see them; must not
// call the hub back, and must not block.
class WatchSink {
 public:
  static constexpr int64_t kNoWatch = -1;  // in the place of an id: of no watcher in particular

  virtual ~WatchSink() = default;

  // Not empty: why this watch may not be; the text goes to the client. Asked at creation, ...
  virtual std::string refuse(const WatchSpec& spec) = 0;
  // ... and for every watcher again when rights have changed.
  virtual std::string refuse_again(const WatchSpec& spec) { return refuse(spec); }

  // With a reason: the watch was refused, and `watch_id` is kNoWatch.
  virtual void created(int64_t watch_id, int64_t revision, std::string_view refused_because) = 0;
  // No more comes for this id. `compact_revision` is not 0 when the watcher was behind it.
  virtual void canceled(int64_t watch_id, int64_t revision, int64_t compact_revision, std::string_view reason) = 0;
  // With `more`, further events of the last one's revision follow; the next response of this stream is then this
  // watcher's. A slice may be empty only after such a response. `fragment`: as in the watcher's spec.
  virtual void events(int64_t watch_id, int64_t revision, const WatchSlice& slice, bool more, bool fragment) = 0;
  // All that concerns the watcher up to `revision` was sent; kNoWatch: all that concerns any watcher of the stream.
  virtual void progress(int64_t watch_id, int64_t revision) = 0;
  // The state can't be read; the stream must end.
  virtual void failed(const Status& status) = 0;

  // So many requests of the stream wait for its queue to drain, after some of them were taken up.
  virtual void held(size_t requests) = 0;
  // Bytes that wait to be sent.
  virtual size_t queued_bytes() const = 0;
  // Asks for WatchHub::drained() once less than so many bytes wait. Not from within this call.
  virtual void call_when_drained(size_t below_bytes) = 0;
};

struct WatchHubOptions {
  size_t stream_bytes_max = 4 << 20;  // queued in a stream, before its watchers fall behind
  size_t chunk_bytes = 1 << 20;       // of events that are encoded before they are sent
  size_t chunk_changes = 64 << 10;    // read from history in one step
  size_t riders_max = 4096;           // watchers that share one step
  int64_t progress_interval_ms = 600'000;
  uint64_t seed = 1;  // spreads the progress notifications of many streams
};

class WatchHub {
 public:
  class Stream;

  // `rights` counts up whenever somebody's rights may have changed, before what was committed afterwards is visible;
  // null: they never do. Both must outlive the hub.
  WatchHub(const ChangeSource& source, const std::atomic<uint64_t>* rights, const WatchHubOptions& options);
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // ---- streams: the pointer is valid until close() ----
  Stream* open(std::shared_ptr<WatchSink> sink, int64_t now_ms);
  // Ends all its watchers without a word; the sink is let go.
  void close(Stream* stream);
  void create(Stream* stream, WatchSpec spec);
  // A watcher that is not there (any more) gets no answer, as in etcd.
  void cancel(Stream* stream, int64_t watch_id);
  // Answered by progress(kNoWatch) once all watchers of the stream are synced; not at all when there are none.
  void request_progress(Stream* stream);
  // What was asked of the stream and waits for its queue to drain. Bounded by whoever asks.
  size_t held_requests(const Stream* stream) const;
  void drained(Stream* stream);

  // ---- all streams ----
  // All streams fail with `status` and are closed.
  void end(const Status& status);
  // Does a bounded piece of what there is to do; true when there is more. To be called after any other call, after each
  // commit, and at next_ms().
  bool step(int64_t now_ms);
  // When step() has something to do though nothing happens; INT64_MAX: never.
  int64_t next_ms() const;

  // Everything up to here was looked at for the synced watchers.
  int64_t cursor() const { return cursor_; }
  struct Counts {
    size_t streams = 0, watchers = 0, unsynced = 0, groups = 0;
    uint64_t events = 0;  // sent
  };
  Counts counts() const;

 private:
  struct Group;
  struct Watcher;
  struct Chunk;
  using GroupKey = std::pair<std::pair<std::string, std::string>, int>;
  using Place = std::pair<Rev, uint64_t>;  // with the watcher's number, so that it is unique

  // ---- requests (watch_hub.cc) ----
  template <typename Request>
  void ask(Stream& stream, Request request);
  void do_create(Stream& stream, WatchSpec&& spec);
  void do_cancel(Stream& stream, int64_t watch_id);
  void check_rights();
  void send_progress(int64_t now_ms);
  // True when the stream can't take a response for `watcher` (null: of another kind) now; take_up() will be called.
  bool blocked(Stream& stream, const Watcher* watcher);
  // The stream can take more: who waits for that goes on. May create and remove watchers.
  void take_up(Stream& stream);
  void fail(const std::vector<Stream*>& streams, const Status& status);

  // ---- the states of a watcher (watch_hub.cc) ----
  Group* group_of(const WatchSpec& spec);
  void sync(Watcher& watcher);                    // from the cursor on
  void unsync(Watcher& watcher, Rev from);        // from its own place on
  void wait(Watcher& watcher, int64_t revision);  // until then
  void detach(Watcher& watcher);                  // from whichever it is
  void remove(Watcher& watcher);

  // ---- events (watch_delivery.cc) ----
  void deliver_new();
  void deliver_up_to(int64_t upto);
  void flush();
  Status add_event(Group& group, const Change& change, Predecessors& predecessors);
  void catch_up();
  std::vector<Watcher*> riders_of(Watcher& leader);
  Status read_chunk(const std::vector<Watcher*>& riders, Chunk* chunk);
  void hand_out(Watcher& rider, const Chunk& chunk);
  bool compacted(const Watcher& watcher) const;
  void cancel_compacted(Watcher& watcher);
  void send(Watcher& watcher, int64_t revision, const WatchSlice& slice, bool more);

  const ChangeSource& source_;
  const std::atomic<uint64_t>* const rights_;
  const WatchHubOptions options_;
  Random random_;
  uint64_t rights_seen_ = 0;
  int64_t cursor_;
  uint64_t next_number_ = 1;
  uint64_t events_sent_ = 0;

  std::map<uint64_t, std::unique_ptr<Stream>> streams_;
  std::multimap<int64_t, Stream*> progress_due_;
  std::vector<Stream*> progress_asked_;
  std::vector<Stream*> released_;  // no longer held up by one watcher's parts of a revision; take_up() is due
  absl::flat_hash_map<GroupKey, std::unique_ptr<Group>> groups_;
  size_t watchers_ = 0;

  WatchIndex<Group> index_;  // groups with synced watchers
  size_t synced_ = 0;
  std::multimap<int64_t, Watcher*> waiting_;  // by the revision they start at
  std::list<Watcher*> turns_;                 // unsynced watchers whose streams can take more, by turns
  std::map<Place, Watcher*> places_;          // the same, by place

  // Groups with events that were matched and are not sent yet, and the size of these.
  std::vector<Group*> touched_;
  size_t pending_bytes_ = 0;
  // The change at hand as an event, without and with the key's predecessor; empty: not encoded yet.
  std::string event_, event_with_prev_;
};

}  // namespace kv::store
