// Whether there is room for what clients want to write: in the quota (--quota-backend-bytes), and on the disk.
//
// Both are looked at before a write is proposed, and are kept up by a count of what was let in since the last
// measurement, so a burst can't run through between two of them. What is refused here never reached the log.
//
// The quota is etcd's: a write costs its keys and values and 256 bytes each, a lease 64, a transaction its larger
// branch, and must fit in with the size of the state. That is what the state's files take and what waits in memory to
// be written to them (StoreStats::bytes_on_disk); compaction lowers it, the raft log is not in it.
//
// On the disk a reserve stays free: a disk that is full to the last byte takes no deletion and no compaction either,
// nor what other members commit meanwhile. What waits in memory counts as written.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"

namespace kv::server {

struct DiskRoom {
  uint64_t free_bytes = 0;  // for us, who may not be root
  uint64_t total_bytes = 0;
};
// Of the file system that holds `path`; nothing when it can't say.
std::optional<DiskRoom> disk_room(const std::string& path);

// What is kept free unless told otherwise: 256 MiB, but no more than a twentieth of a small disk.
uint64_t default_reserve_bytes(uint64_t disk_bytes);

class SpaceGuard {
 public:
  struct Options {
    int64_t quota_bytes = 0;      // 0 or less: none
    int64_t min_free_bytes = -1;  // negative: default_reserve_bytes(); 0: the disk is not looked at
  };
  struct StateSize {
    uint64_t bytes = 0;      // what the quota is about
    uint64_t in_memory = 0;  // the part of it that is still to be written to disk
  };
  struct Ports {
    std::function<StateSize()> state;
    std::function<std::optional<DiskRoom>()> disk;
    const Clock* clock = nullptr;
  };
  enum class Verdict : uint8_t { kRoom, kQuota, kDisk };

  SpaceGuard(const Options& options, Ports ports) : options_(options), ports_(std::move(ports)) {}

  // Whether a write of that cost fits in; it is counted then. Any thread.
  Verdict ask(size_t cost);
  // Measures, and says how it is without a write. Any thread.
  Verdict look();
  // Whether so much is free, as last measured, that a shortage is over: half the reserve more than the reserve.
  bool disk_is_well() const;

  // As last measured, for words.
  uint64_t free_bytes() const { return free_bytes_.load(std::memory_order_relaxed); }
  uint64_t reserve_bytes() const { return reserve_bytes_.load(std::memory_order_relaxed); }

 private:
  // A byte that is let in may be written to the log and to the state, and again when the state is rewritten.
  static constexpr int64_t kDiskBytesPerByte = 3;
  static constexpr int64_t kFreshMs = 20;

  void measure(int64_t now_ms);
  Verdict verdict(int64_t cost) const;

  const Options options_;
  const Ports ports_;
  std::mutex mutex_;  // held by whoever measures
  std::atomic<int64_t> measured_ms_{INT64_MIN / 2};
  std::atomic<int64_t> admitted_{0};  // since then
  std::atomic<int64_t> quota_left_{INT64_MAX / 4};
  std::atomic<int64_t> disk_left_{INT64_MAX / 4};  // beyond the reserve and what waits in memory
  std::atomic<uint64_t> free_bytes_{0};
  std::atomic<uint64_t> reserve_bytes_{0};
};

}  // namespace kv::server
