// Warnings of what took long (--warning-apply-duration), in etcd's words and with the request's shape: keys, range
// ends, counts and sizes, never a value. Of each kind at most one a second, which says how many it stands for.
//
// The hot path pays for two readings of the kernel's coarse clock (a few nanoseconds each, good to some milliseconds).
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "etcdserverpb/rpc.pb.h"
#include "kvdpb/command.pb.h"
#include "server/applier.h"

namespace kv::server {

class SlowCalls final : public ApplyTimer {
 public:
  // 0: no warnings.
  explicit SlowCalls(int64_t threshold_ms) : threshold_ms_(threshold_ms) {}

  // CLOCK_MONOTONIC_COARSE.
  int64_t now_ms() const override;
  // Entries [first, last) were applied together, begun at `began_ms`. The thread that applies.
  void applied(int64_t began_ms, const CommittedEntry* first, const CommittedEntry* last) override;
  // A read was served, with its answer. Any thread.
  void read(int64_t began_ms, const etcdserverpb::RangeRequest& request, const etcdserverpb::RangeResponse& response);
  void read(int64_t began_ms, const etcdserverpb::TxnRequest& request, const etcdserverpb::TxnResponse& response);

 private:
  // Of one kind. Guarded by mutex_.
  struct Told {
    int64_t next_ms = 0;
    uint64_t unsaid = 0;  // since the last warning
  };
  // False when it was not long, or may not be told now; else `unsaid` and how long it took.
  bool may_tell(Told& told, int64_t began_ms, int64_t* took_ms, uint64_t* unsaid);

  const int64_t threshold_ms_;
  std::mutex mutex_;
  Told applies_, ranges_, txns_;
};

// As etcd prints them: `key:"a" range_end:"b" limit:10`, `put:<key:"a" value_size:5 >`. Keys are cut at 128 bytes.
std::string shape_of(const etcdserverpb::RangeRequest& request);
std::string shape_of(const etcdserverpb::TxnRequest& request);
std::string shape_of(const kvdpb::Command& command);

}  // namespace kv::server
