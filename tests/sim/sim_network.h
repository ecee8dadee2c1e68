// The network between the members: it drops, duplicates, delays and reorders messages, and links can be cut in
// either direction. Messages pass through as values.
//
// One promise of the real transport is kept: a forwarded proposal is delivered at most once, because a stream
// never repeats a frame and nothing above it retries. Everything else may arrive twice.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "base/random.h"
#include "draw.h"
#include "event_queue.h"
#include "raft/types.h"

namespace kv::sim {

struct NetworkOptions {
  Range delay_us{200, 2'000};
  uint64_t drop_ppm = 0;
  uint64_t duplicate_ppm = 0;
  uint64_t straggler_ppm = 0;  // a message that is overtaken by whole elections
  Range straggler_delay_us{100'000, 2'000'000};
  bool in_order = false;             // per link, as one TCP stream has it (stragglers excepted)
  bool cut_loses_in_flight = true;   // else what is on its way still arrives
  size_t queue_messages_max = 4096;  // on the way per link; more are dropped
};

class SimNetwork {
 public:
  using Deliver = std::function<void(raft::Message)>;
  using Lost = std::function<void(raft::NodeId from, raft::NodeId to)>;

  // `deliver` hands a message to its receiver. `lost` is told of messages that a cut link or a full queue ate.
  SimNetwork(EventQueue* events, uint64_t seed, const NetworkOptions& options, Deliver deliver, Lost lost);

  void send(raft::Message message);

  void cut(raft::NodeId from, raft::NodeId to) { cut_.insert({from, to}); }
  void mend(raft::NodeId from, raft::NodeId to) { cut_.erase({from, to}); }
  void mend_all() { cut_.clear(); }
  bool connected(raft::NodeId from, raft::NodeId to) const { return !cut_.contains({from, to}); }
  bool any_cut() const { return !cut_.empty(); }

  // From now on: a good network. What is on its way arrives within `within_us`, old messages included.
  void calm(uint64_t within_us);

  // All that is on its way to `node` is lost (its process ended, its connections broke).
  void lose_inbound(raft::NodeId node);

  uint64_t delivered() const { return delivered_; }

 private:
  using Link = std::pair<raft::NodeId, raft::NodeId>;

  void launch(raft::Message message, bool may_straggle);
  void arrive(uint64_t number);

  EventQueue* events_;
  Random random_;
  NetworkOptions options_;
  Deliver deliver_;
  Lost lost_;
  std::set<Link> cut_;
  std::map<uint64_t, raft::Message> in_flight_;
  std::map<Link, size_t> queued_;
  std::map<Link, uint64_t> last_arrival_us_;
  uint64_t next_number_ = 0;
  uint64_t delivered_ = 0;
};

}  // namespace kv::sim
