// When a failed call may be sent again: the rule that keeps writes at most once.
//
// It is clientv3's (etcd's client for Go): a read is sent again while the answer is Unavailable or Canceled; a write
// only when it certainly never left this process, because an Unavailable that comes back over a connection may come
// from a leader that lost its seat after it had committed the write.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/random.h"
#include "base/status.h"

namespace kv::client {

enum class Repeat : uint8_t {
  kSafe,    // reads: twice is as good as once
  kUnsafe,  // writes
};

// How often one call is sent, however much time it has.
inline constexpr size_t kAttemptsMax = 100;

// True when the call was never sent: gRPC found no connection to send it on.
bool never_started(const Status& status);

// Whether a call that ended with `status` may be sent again, with `endpoints` to choose from.
bool may_retry(const Status& status, Repeat repeat, size_t endpoints);

// The pause before attempt number `attempt` (the first is 0): none while each of a quorum of the endpoints has not
// been asked, then 25 ms, give or take a tenth, so that many clients don't come back in step.
std::chrono::microseconds retry_pause(size_t attempt, size_t endpoints, Random& random);

// Likewise for a stream that is wanted for long, behind `failed` connections that came to nothing: none until each
// endpoint has been tried, then 25 ms, doubled from round to round up to 400 ms, give or take a tenth.
std::chrono::microseconds stream_pause(size_t failed, size_t endpoints, Random& random);

}  // namespace kv::client
