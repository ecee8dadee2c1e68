// Watches as a simulated member serves them: the real WatchHub (store/watch_hub.h) over the real store's changes,
// stepped by the simulator, and streams whose queues drain at a pace of their own.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "base/random.h"
#include "sim/sim_node.h"
#include "sim/store/store_world.h"
#include "store/watch_hub.h"

namespace kv::sim {

// One response as it travels to a client.
struct WatchMessage {
  enum class Kind : uint8_t { kCreated, kEvents, kProgress, kCanceled, kFailed } kind = Kind::kEvents;
  int64_t watch_id = 0;
  int64_t revision = 0;
  int64_t compact_revision = 0;
  std::string text;   // why it was refused, cancelled, or failed
  std::string bytes;  // events: those of an etcdserverpb.WatchResponse
  bool more = false;
};

// A client's end of a stream. It outlives all streams.
class WatchReceiver {
 public:
  virtual ~WatchReceiver() = default;
  virtual void received(uint64_t stream, const WatchMessage& message) = 0;
  virtual void disconnected(uint64_t stream) = 0;
};

class WatchService {
 public:
  WatchService(SimNode* node, StoreStateMachine* state, StoreWorld* world);
  ~WatchService();

  // ---- its process ----
  void started();
  void crashed();
  void ticked();
  void committed();
  void state_replaced();

  // ---- what clients ask; `stream` is a number that no other has. Inside the process ----
  void open(uint64_t stream, WatchReceiver* receiver);
  void close(uint64_t stream);
  // False: the stream is not there, or has too much to do.
  bool create(uint64_t stream, const store::WatchSpec& spec);
  void cancel(uint64_t stream, int64_t watch_id);
  void request_progress(uint64_t stream);

 private:
  class Stream;
  struct Open {
    std::shared_ptr<Stream> sink;
    store::WatchHub::Stream* stream = nullptr;
  };

  void poke();
  void step();
  void end_streams();
  Open* find(uint64_t stream);

  SimNode* node_;
  StoreStateMachine* state_;
  StoreWorld* world_;
  Random random_;

  // ---- of this run of the process ----
  std::unique_ptr<store::WatchHub> hub_;
  std::map<uint64_t, Open> streams_;
  bool step_scheduled_ = false;
};

}  // namespace kv::sim
