#include "client/retry.h"

#include <algorithm>

namespace kv::client {
namespace {

constexpr uint64_t kPauseUs = 25'000;

std::chrono::microseconds about(uint64_t us, Random& random) {
  const uint64_t jitter = us / 10;
  return std::chrono::microseconds(us - jitter + random.below(2 * jitter + 1));
}

}  // namespace

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
  return about(kPauseUs, random);
}

std::chrono::microseconds stream_pause(size_t failed, size_t endpoints, Random& random) {
  const size_t rounds = failed / endpoints;
  if (rounds == 0) return std::chrono::microseconds(0);
  return about(kPauseUs << std::min<size_t>(rounds - 1, 4), random);
}

}  // namespace kv::client
