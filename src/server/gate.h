// Who may make a call at all: the one place that every door passes, because the call table wraps its rows with it.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>

#include "base/status.h"
#include "server/call.h"

namespace kv {

// What a caller must hold. Where the request's own keys decide, the gate makes sure that there is somebody whose rights
// can be looked at; they are looked at where the keys are known: at apply for writes, with the state that was read for
// reads (store/auth_rights.h).
enum class Right : uint8_t {
  kOpen,  // anybody: health, reflection, authenticate
  kUser,  // any user, when authentication is on
  kKeys,  // a user, and the request's own keys
  kEach,  // a stream whose requests are each judged by themselves (Watch, LeaseKeepAlive): it may begin
  kSelf,  // a user, about itself; else root: the member decides
  kRoot,  // the root role
};

class Gate {
 public:
  virtual ~Gate() = default;
  // False while everybody may do everything. One atomic load: it is asked for every call.
  virtual bool closed() const = 0;
  // Finds out who makes the call, notes it in call->identity, and answers whether `right` is theirs. `admitted` is
  // called exactly once, maybe before this returns; when later, from any thread.
  virtual void admit(CallPtr call, Right right, absl::AnyInvocable<void(Status)> admitted) = 0;
};

}  // namespace kv
