// A lock between programs: of all sessions that ask for it, the first in the order of creation has it.
//
//   auto session = Session::create(client, {.ttl_s = 10});
//   if (!session.ok()) return session.status();
//   Mutex mutex(**session, "/locks/backup");
//   if (Status s = mutex.lock(at_most(30s)); !s.ok()) return s;
//   // Writes to the store itself: only if the lock is still ours at that very revision.
//   client.commit(Txn().when({mutex.is_owner()}).then({put_op("/backup/state", "running")}));
//   // Writes to anything else: hand the token over, and have it refuse tokens smaller than the largest it has seen.
//   storage.write(block, mutex.revision());
//
// What it promises: of two sessions that hold the lock by the store's own account, there is never more than one at
// a revision. What it does NOT promise: that nobody else holds it while your code runs. A program that stops for
// longer than its TTL (garbage collection, swap, a paused machine, a clock that runs slow), or is cut off from the
// cluster, loses its lease and so the lock, and learns of it only afterwards; requests that it sent before are on
// their way still. That is so for every lock by lease, etcd's too: Jepsen's test of etcd 3.4.3 saw one lock held by
// several clients at a time. So guard what matters with is_owner() where the store itself is written, and with
// revision() as a fencing token elsewhere; without them the lock is advice that saves work, not a guarantee.
// docs/client.md has more.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "client/session.h"
#include "client/txn.h"

namespace kv::client {

// One thread at a time; the session must outlive it. A session has a lock once: make one Mutex per session and name,
// and in a program with many threads put a std::mutex in front.
class Mutex {
 public:
  // Keys are put under `name` + '/'. Nothing is sent yet.
  Mutex(Session& session, std::string_view name);
  // Unlocks if it is locked, and gives up after five seconds; the answer is lost.
  ~Mutex();
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Waits for the lock. While members fail it goes on trying. Fails with DeadlineExceeded or Canceled as `wait` says,
  // with Aborted "mutex: session is expired" when the session is lost, with others as a call does. Then our place in
  // the queue has been given up, or, if that can't be said to the cluster now, it ends with the session or unlock().
  Status lock(const Wait& wait = {});
  // As lock(), but Aborted "mutex: Locked by another session" instead of a wait for others.
  Status try_lock();
  // FailedPrecondition "mutex: lock has already been released" without a lock, Aborted "mutex: session is expired"
  // when the lock was gone before: what was done last may not have been protected. While members fail it goes on
  // trying, until the session is lost.
  Status unlock(const Wait& wait = {});

  // Holds in a transaction as long as the lock is ours.
  Compare is_owner() const;
  // The key that holds our place; empty without.
  const std::string& key() const { return key_; }
  // The fencing token: the key's create revision. Who locks later has a larger one. 0 without a lock.
  int64_t revision() const { return revision_; }
  // Of the answer that said that we have it.
  const ResponseHeader& header() const { return header_; }

 private:
  // Takes a place; ok with `first` set when the lock is ours at once.
  Status enter(const Wait& wait, bool& first);
  void give_up();

  Session& session_;
  const std::string prefix_;
  std::string key_{};
  int64_t revision_ = 0;
  ResponseHeader header_{};
};

}  // namespace kv::client
