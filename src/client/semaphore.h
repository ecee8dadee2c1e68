// A counting semaphore between programs: of all sessions that ask, the first `permits` in the order of creation have it.
//
//   Semaphore reboots(**session, "/fleet/reboots", 2, "host-17");   // two machines at a time
//   if (Status s = reboots.acquire(at_most(10min)); !s.ok()) return s;
//   ...
//   if (Status s = reboots.release(); !s.ok()) return s;
//
// Fair: who asked first is served first, and nobody who asks for one permit overtakes another. A holder that dies gives
// its permit back when its lease ends.
//
// The number of permits is kept in the cluster, by the first who asks. Who comes with another number gets
// FailedPrecondition, so that a half-finished roll-out of a new number can't let too many in; set_permits() changes it.
//
// What mutex.h says of locks holds here: at each revision of the store no more than `permits` sessions hold it, but a
// program that is cut off learns late that it no longer does. Guard writes by is_holder().
//
// Keys: NAME/permits has the number, in decimal; NAME/queue/LEASE (in hexadecimal) a session's place, with its identity
// as value. A place holds a permit when fewer than `permits` places have a smaller create revision.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "client/session.h"
#include "client/txn.h"

namespace kv::client {

// One who has a permit or waits for one.
struct SemaphorePlace {
  std::string identity{};  // what it said of itself
  std::string key{};
  int64_t lease = 0;
  int64_t revision = 0;  // the place in the queue, and the fencing token
};

// As of header.revision, in the order of the queue.
struct SemaphoreState {
  ResponseHeader header{};
  int64_t permits = 0;
  std::vector<SemaphorePlace> holders{};
  std::vector<SemaphorePlace> waiters{};
};

// One thread at a time; the session must outlive it. A session has one place under a name: make one Semaphore of each.
class Semaphore {
 public:
  static constexpr int64_t kPermitsMax = 100'000;

  // Nothing is sent yet. `permits` out of 1 to kPermitsMax is InvalidArgument when it is asked for.
  Semaphore(Session& session, std::string_view name, int64_t permits, std::string_view identity = {});
  // Releases what is held, and gives up after five seconds; the answer is lost.
  ~Semaphore();
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // Waits for a permit. Fails as Mutex::lock() does, with "semaphore: session is expired", and with FailedPrecondition
  // when the cluster knows another number of permits.
  Status acquire(const Wait& wait = {});
  // As acquire(), but Aborted "semaphore: all 2 permits are taken" instead of a wait for others.
  Status try_acquire();
  // Gives the permit back. Fails as Mutex::unlock() does.
  Status release(const Wait& wait = {});

  // Holds in a transaction as long as our place, and so our permit, is there.
  Compare is_holder() const;
  const std::string& key() const { return key_; }
  // The fencing token: the place's create revision. 0 without a place.
  int64_t revision() const { return revision_; }

  Result<std::vector<SemaphorePlace>> holders(const CallOptions& call = {});

  // Who has and who waits, without a session. NotFound when nobody has ever asked for it.
  static Result<SemaphoreState> state(Client& client, std::string_view name, const CallOptions& call = {});
  // Changes the number, or sets the first. With fewer than are held, holders keep theirs and nobody is let in until
  // enough have come back. Objects that were made with the old number fail from then on, those that wait too.
  static Status set_permits(Client& client, std::string_view name, int64_t permits, const CallOptions& call = {});

 private:
  Status check_kept(std::string_view number) const;  // what the cluster knows against what we were made with
  Status enter(const Wait& wait, bool& holds);
  Status wait_for_permit(const Wait& wait);
  Status check_mine(const Wait& wait);
  void give_up();

  Session& session_;
  const std::string name_;
  const int64_t permits_;
  const std::string identity_;
  std::string key_{};
  int64_t revision_ = 0;
};

}  // namespace kv::client
