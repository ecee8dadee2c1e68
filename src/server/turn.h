// What locks and elections share. Whoever contends puts a key of its own, bound to its lease, under a common prefix
// (NAME + "/" + the lease's id in hex); the oldest of these keys has the lock, or leads. The layout is that of etcd's
// client/v3/concurrency, so that contenders of all kinds meet: these services, Go's package, our client library.
//
// Everybody waits for the key just before its own to go, and for no other, so that a release wakes one contender and
// not the herd.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "etcdserverpb/rpc.pb.h"
#include "server/call.h"
#include "server/member.h"
#include "server/own_watch.h"

namespace kv::server {

// A contender's key.
struct Claim {
  std::string prefix;  // NAME + "/"
  std::string key;
  int64_t revision = 0;  // that created the key: what a holder fences by
  int64_t lease = 0;

  static Claim of(std::string_view name, int64_t lease);
};

// `lease`, or, when that is 0, a new one of 60 s that nobody keeps alive: etcd's answer to a contender without one.
void with_lease(Member& member, CallPtr call, int64_t lease, absl::AnyInvocable<void(Status, int64_t lease)> next);

// Puts the claim's key with `value`, unless it is there: then its revision is found. `owner_revision`: that created
// the prefix's oldest key, so equal to claim.revision when it is the claimant's turn already. `value_there`: of the
// key that was found.
struct Claimed {
  Claim claim;
  bool is_new = false;
  std::string value_there;
  int64_t owner_revision = 0;
  etcdserverpb::ResponseHeader header;
};
void put_claim(Member& member, CallPtr call, Claim claim, const std::string& value,
               absl::AnyInvocable<void(Status, Claimed)> next);

// Deletes the claim's key if it is still the one that was put. For a contender that has gone with its `call`, so on a
// call of the member's own, with the contender's rights.
void withdraw(Member& member, const CallContext& call, const Claim& claim);

// Waits until no older key is left. `over` is called once, from any thread: with the header of a read that found the
// claim's key; or with an error: NotFound when the key is gone (its lease has expired, or it was deleted),
// Canceled when the call was, what the watch ended with otherwise.
class Turn : public std::enable_shared_from_this<Turn> {
 public:
  using Over = absl::AnyInvocable<void(Status, const etcdserverpb::ResponseHeader&)>;
  // Takes the call's on_cancel. `member` must outlive the wait.
  static void wait(Member& member, CallPtr call, Claim claim, Over over);

  Turn(Member& member, CallPtr call, Claim claim, Over over);

 private:
  void look();
  // Calls look() again when `key` is gone, `after` a revision at which it was there.
  void watch(const std::string& key, int64_t after);
  void watch_own_key();
  void verify();
  void end(const Status& status, const etcdserverpb::ResponseHeader& header = {});

  Member& member_;
  const CallPtr call_;
  const Claim claim_;

  // The watches hold this object, and are let go by end(): so it lives as long as it waits.
  std::mutex mutex_;  // guards all below
  Over over_;         // empty once it was called
  uint64_t looks_ = 0;
  std::unique_ptr<OwnWatch> watch_;  // of the key before ours
  std::unique_ptr<OwnWatch> own_key_watch_;
};

// Holds when `key` is there and was created at `revision`; with 0, when it is not there.
etcdserverpb::Compare created_at(const std::string& key, int64_t revision);
// Asks for the oldest key under `prefix`: who has the lock, or leads.
etcdserverpb::RangeRequest oldest_of(const std::string& prefix);
// The end of the range of all keys that begin with `prefix`; "\0", which is all keys, if there is no other.
std::string prefix_end(std::string prefix);

}  // namespace kv::server
