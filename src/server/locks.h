// v3lockpb.Lock: a mutex by name, for clients that have no recipe of their own. What it promises and what not is told
// in docs/api.md, "Locks": the lock is held as long as its key is there, and the key lives no longer than its lease; a
// holder that was stopped for that long does not notice, so what the lock guards must compare the key's revision.
#pragma once

#include "server/call.h"
#include "server/member.h"
#include "v3lockpb/v3lock.pb.h"

namespace kv::server {

class Locks {
 public:
  // `member` must outlive it, and the calls.
  explicit Locks(Member& member) : member_(member) {}

  // Answers once the lock is the lease's, with the key that stands for it. Asked again by a holder: at once, with the
  // same key. lease 0: a lease of 60 s is granted. A call that is cancelled gives its place up.
  // NotFound "etcdserver: requested lease not found"; Unknown "mutex: session is expired" when the lease ended while
  // it waited.
  void lock(CallPtr call, std::unique_ptr<v3lockpb::LockRequest> request, Done<v3lockpb::LockResponse> done);
  // Deletes the key that lock() answered. That it is there no more is no error, as with etcd.
  void unlock(CallPtr call, std::unique_ptr<v3lockpb::UnlockRequest> request, Done<v3lockpb::UnlockResponse> done);

 private:
  Member& member_;
};

}  // namespace kv::server
