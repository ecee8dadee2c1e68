// Writers that remember what they were told, and the check that it is still true.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "harness/cluster.h"

namespace kv::chaos {

using harness::Clock;
using harness::milliseconds;

// A write that a member answered with OK.
struct Ack {
  uint32_t key = 0;
  int64_t sequence = 0;  // of the writes to this key; part of the value
  int64_t mod_revision = 0;
  Clock::time_point started;
  Clock::time_point ended;
};

struct WriterOptions {
  int threads = 16;
  uint32_t keys_per_thread = 20;
  size_t value_bytes = 256;
  milliseconds timeout{250};      // of one write at most; what is not answered by then may have happened or not
  std::vector<int> members = {};  // that are written to; empty: all
};

std::string key_name(uint32_t key);
std::string value_of(uint32_t key, int64_t sequence, size_t bytes);

// Each thread writes keys of its own, one at a time and each with a new value; it stays with one member while that
// answers and goes to any when it doesn't. A write without an answer is never sent again.
class Writers {
 public:
  Writers(harness::Cluster& cluster, WriterOptions options);
  ~Writers();

  void start();
  // Returns when no write is under way.
  void stop();

  // All acknowledged writes up to now that had not been taken before.
  std::vector<Ack> take_acks();
  // How often a write to `key` was sent, answered or not. Only while stopped.
  int64_t attempts(uint32_t key) const { return attempts_.at(key); }
  uint64_t acknowledged() const { return acknowledged_.load(); }
  // Writes that ended without OK, by the answer's text. Only while stopped.
  std::map<std::string, uint64_t> refusals() const { return refusals_; }
  uint32_t keys() const { return static_cast<uint32_t>(attempts_.size()); }

  // How long after `since` the first write that began later was acknowledged; waits until there is one. Nothing
  // after `timeout`.
  std::optional<milliseconds> gap_since(Clock::time_point since, milliseconds timeout);
  bool wait_acknowledged(uint64_t more, milliseconds timeout);

 private:
  void write(int thread);
  int member(uint64_t turn) const;

  harness::Cluster& cluster_;
  const WriterOptions options_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> acknowledged_{0};
  std::vector<int64_t> attempts_;  // by key; each is touched by its thread alone

  std::mutex mutex_;  // guards what is below
  std::vector<Ack> acks_;
  std::map<std::string, uint64_t> refusals_;
};

// Reads each acknowledged write at its revision from one member, without asking the others when `serializable`.
// Returns what is wrong, at most a few lines; empty when nothing is.
std::string check_acks(harness::Client& client, const std::vector<Ack>& acks, size_t value_bytes, bool serializable);

// What the keys are now: none older than its last acknowledged write, none written more often than it was sent.
// `all` are all acknowledged writes; the writers are stopped.
std::string check_keys(harness::Client& client, const Writers& writers, const std::vector<Ack>& all);

}  // namespace kv::chaos
