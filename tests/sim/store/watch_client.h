// A client with one stream of watches at a time, and the judge of what it is sent. Every event must be the next one of
// the committed history that its watch asked for, a revision's events come whole, nothing comes twice or goes missing, also
// when the client goes on with another member after a crash or because it wants to; a notification of progress tells the
// truth; and a watch is cancelled because of a compaction only when it lies behind it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "sim/store/store_world.h"
#include "sim/store/watch_service.h"

namespace kv::sim {

class WatchClient final : public WatchReceiver {
 public:
  WatchClient(StoreWorld* world, uint64_t number);

  void begin();
  // No more mischief: it only sees to it that its watches go on.
  void heal();
  // Every watch is there and has all that is committed.
  bool caught_up();
  std::string describe() const;

  void received(uint64_t stream, const WatchMessage& message) override;
  void disconnected(uint64_t stream) override;

 private:
  enum class State : uint8_t { kIdle, kCreating, kActive, kCancelling };
  struct Watch {
    store::WatchSpec spec;
    State state = State::kIdle;
    int64_t id = -1;
    // The next revision that it has not all of; 0: it starts with what comes, and does not know yet what that is.
    int64_t next = 0;
    size_t at = 0;        // where in the history the next event is looked for ...
    size_t complete = 0;  // ... and where that of revision `next` begins
    bool in_parts = false;
  };

  void mischief();
  void connect();
  void drop_stream();
  void keep_watching();
  void choose_range(Watch& watch);
  void create(size_t index);
  void cancel(Watch& watch);
  void fail(const char* invariant, const Watch& watch, const std::string& text);

  Watch* by_id(int64_t id);
  // The next change that the watch must be told of; null: none is committed yet.
  const StoreChecker::Change* expected(Watch& watch) const;
  void created(const WatchMessage& message);
  void events(const WatchMessage& message);
  void progress(const WatchMessage& message);
  void canceled(const WatchMessage& message);

  StoreWorld* world_;
  const uint64_t number_;
  Random random_;
  std::vector<Watch> watches_;
  uint64_t stream_ = 0;  // 0: none
  uint64_t streams_ = 0;
  SimNode* member_ = nullptr;
  bool connecting_ = false;
  std::deque<size_t> pending_;  // watches whose creation is asked for, in order
  bool healed_ = false;
  uint64_t asked_progress_us_ = 0;
  int64_t progress_seen_ = 0;
};

}  // namespace kv::sim
