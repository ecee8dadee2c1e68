// The queue of keys under a name, in the order of their creation, that locks and elections are. Internal.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "client/client.h"
#include "client/session.h"

namespace kv::client {

// A stop is requested of token() once one is of either.
class EitherStop {
 public:
  EitherStop(const std::stop_token& a, const std::stop_token& b)
      : a_(a, [this] { source_.request_stop(); }), b_(b, [this] { source_.request_stop(); }) {}
  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_{};
  std::stop_callback<std::function<void()>> a_;
  std::stop_callback<std::function<void()>> b_;
};

// A participant's key: the session's own under `prefix`, which ends in '/'.
std::string queue_key(std::string_view prefix, const Session& session);

struct Place {
  int64_t revision = 0;  // the key's create revision: the place in the queue
  ResponseHeader header{};
  std::optional<std::string> value{};  // what the key holds when it was there already
  bool first = false;
};

// Puts the session's key into the queue, or finds it there. Tries again for as long as `wait` allows when it isn't
// known whether a request was carried out: the request does no more when it is repeated.
Result<Place> enter_queue(Session& session, std::string_view prefix, std::string_view value, const Wait& wait);

// Waits until no key under `prefix` is older than the one of create revision `revision`.
Status wait_for_turn(Client& client, std::string_view prefix, int64_t revision, const Wait& wait);

// Deletes `key` if its create revision is still `revision`. False when it wasn't there, or another was.
Result<bool> leave_queue(Client& client, const std::string& key, int64_t revision, const Wait& wait);

// The oldest key under `prefix`.
GetOptions oldest_under(std::string_view prefix);

// What a call is given of the time that `wait` leaves; the client's own timeout bounds it too.
CallOptions call_within(const Wait& wait);

// True when the answer doesn't say whether the request was carried out, or a repetition may fare better.
bool worth_repeating(const Status& status);

// Waits a moment before a repetition; not ok when `wait` is over.
Status pause_within(const Wait& wait, std::chrono::milliseconds pause = std::chrono::milliseconds(50));

// Calls `call(CallOptions)` until it answers, for as long as `wait` allows; the last answer.
template <typename Call>
auto patiently(const Wait& wait, Call call) -> decltype(call(CallOptions{})) {
  for (;;) {
    auto answer = call(call_within(wait));
    if (answer.ok() || !worth_repeating(answer.status())) return answer;
    if (Status s = pause_within(wait); !s.ok()) return s;
  }
}

}  // namespace kv::client
