#include "client/retry.h"

namespace kv::client {

bool never_started(const Status& status) {
  // gRPC's text for a call whose channel has no connected address and which does not wait for one. The test
  // Write_on_a_dead_endpoint_moves_to_the_next holds the library to it.
  return status.code() == Code::kUnavailable && status.text().starts_with("failed to connect to all addresses");
}

bool may_retry(const Status& status, Repeat repeat, size_t endpoints) {
  if (never_started(status)) return true;
  // A learner refuses what only voters serve, before it does anything.
  if (endpoints > 1 && status.text() == "etcdserver: rpc not supported for learner") return true;
  // Nothing on this side cancels a call: Canceled is a server that goes down with the call in its hands.
  return repeat == Repeat::kSafe && (status.code() == Code::kUnavailable || status.code() == Code::kCanceled);
}

std::chrono::microseconds retry_pause(size_t attempt, size_t endpoints, Random& random) {
  const size_t quorum = endpoints / 2 + 1;
  if (attempt == 0 || attempt % quorum != 0) return std::chrono::microseconds(0);
  constexpr uint64_t kPauseUs = 25'000;
  constexpr uint64_t kJitterUs = kPauseUs / 10;
  return std::chrono::microseconds(kPauseUs - kJitterUs + random.below(2 * kJitterUs + 1));
}

}  // namespace kv::client
