// The plain interface between the doors (src/api) and a member (src/server): a request message, who asks and
// until when, and a completion that takes a Status and the response. No gRPC, HTTP or Beast type crosses it.
#pragma once

#include <absl/functional/any_invocable.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "store/identity.h"

namespace kv {

// Who asks, until when, and whether they still want the answer. Shared by the door and whoever works on the call.
class CallContext {
 public:
  static constexpr int64_t kNoDeadline = INT64_MAX;

  CallContext() = default;
  CallContext(const CallContext&) = delete;
  CallContext& operator=(const CallContext&) = delete;
  virtual ~CallContext() { delete on_cancel_.load(); }

  // Runs `work` soon on the door's thread that owns this call: where a read is best served, since its answer is
  // sent from there. Calls that come in a burst cost one wake-up. Any thread.
  virtual void post(absl::AnyInvocable<void()> work) = 0;

  int64_t deadline_ms = kNoDeadline;  // on Clock::monotonic_ms
  std::string peer;                   // "192.0.2.1:51234"
  std::string token;                  // the auth token as it came; empty: none
  std::string basic;                  // "user:password" of HTTP Basic; empty: none. Counts when there is no token
  // CN of a verified client certificate, "" when that has none; nothing: no such certificate.
  std::optional<std::string> certificate_user;
  // Who that turned out to be: set by the gate (server/gate.h) before the call is worked on, and by nobody else.
  store::Identity identity;
  bool by_member = false;   // nobody asks but the member itself: only OwnCall::of_member() says so
  bool has_leader = false;  // metadata `hasleader: true`: fail when there is no leader
  std::vector<std::pair<std::string, std::string>> metadata;  // as it came, keys in lower case, -bin decoded

  // What the answer's headers and trailers carry besides the door's own. Keys in lower case; values of keys that
  // end in "-bin" are bytes. Whoever works on the call may fill them before the first answer (for trailers: the
  // end) is given.
  std::vector<std::pair<std::string, std::string>> response_headers;
  std::vector<std::pair<std::string, std::string>> response_trailers;

  // True once the client has gone, cancelled, or the deadline has passed. Any thread.
  bool cancelled() const { return cancelled_.load(); }
  void cancel() {
    cancelled_.store(true);
    run_on_cancel();
  }
  // `work` runs once when the call is cancelled, on the thread that cancels it (at once when it is already), and never
  // when it isn't. At most one a call. It must not keep the call alive, nor block. Any thread.
  void on_cancel(absl::AnyInvocable<void()> work) {
    absl::AnyInvocable<void()>* none = nullptr;
    auto mine = std::make_unique<absl::AnyInvocable<void()>>(std::move(work));
    const bool first = on_cancel_.compare_exchange_strong(none, mine.get());
    KV_CHECK(first, "a call has one on_cancel");
    (void)mine.release();
    if (cancelled()) run_on_cancel();
  }

 private:
  void run_on_cancel() {
    const std::unique_ptr<absl::AnyInvocable<void()>> work(on_cancel_.exchange(nullptr));
    if (work) (*work)();
  }

  std::atomic<bool> cancelled_{false};
  std::atomic<absl::AnyInvocable<void()>*> on_cancel_{nullptr};
};
using CallPtr = std::shared_ptr<CallContext>;

// A call that a member makes itself: what it posts runs at once, on whatever thread posts it.
class OwnCall final : public CallContext {
 public:
  // For the member's own ends, which need no right.
  static std::shared_ptr<OwnCall> of_member() {
    auto call = std::make_shared<OwnCall>();
    call->by_member = true;
    return call;
  }
  // In the place of a call that has ended, with its caller's rights.
  static std::shared_ptr<OwnCall> on_behalf_of(const CallContext& other) {
    auto call = std::make_shared<OwnCall>();
    call->identity = other.identity;
    call->by_member = other.by_member;
    return call;
  }
  void post(absl::AnyInvocable<void()> work) override { work(); }
};

// Called exactly once, from any thread. The door serialises the response and sends it.
template <typename Response>
using Done = absl::AnyInvocable<void(Status, Response&&)>;

// Parses a message that lies in two pieces. False when they are none.
template <typename Message>
bool parse_pieces(std::string_view own, std::string_view shared, Message* message) {
  std::string whole;
  whole.reserve(own.size() + shared.size());
  whole.append(own).append(shared);
  return message->ParseFromString(whole);
}

// The sending half of a stream, for handlers. write() never blocks; a handler that produces faster than the client
// reads must watch queued_bytes() and go on at on_drained. Any thread; after finish() nothing is sent.
template <typename Response>
class Sink {
 public:
  virtual ~Sink() = default;
  // False when the stream is over (the client went away); the message is then dropped.
  virtual bool write(const Response& response) = 0;
  // The same for a message that is encoded already: the bytes of `own`, which are only lent, and then those of
  // `shared`, which `owner` keeps and which may go to many streams. A door that can send bytes as they are overrides
  // it.
  virtual bool write_encoded(std::string_view own, [[maybe_unused]] std::shared_ptr<const void> owner,
                             std::string_view shared) {
    Response response;
    return parse_pieces(own, shared, &response) && write(response);
  }
  virtual void finish(Status status) = 0;
  virtual size_t queued_bytes() const = 0;
  // `ready` is called once, when less than `below_bytes` are queued (at once if so already) or the stream is over.
  virtual void on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) = 0;
};

}  // namespace kv
