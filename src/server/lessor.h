// The leader's clock for leases: which have outlived their time, what others have left, and which keep-alives may be
// answered. It decides, and proposes; only the log revokes (etcd 13205, 12528, 15247).
//
// A pure book-keeper: no thread, no lock, no clock of its own. Times are milliseconds of the caller's monotonic clock,
// handed in; so a simulator drives it like the daemon does (lease_calls.h). Its owner
//
//   - calls lead() when it has applied an entry of its own term as the leader of that term, with the leases of the
//     state at that moment, and resign() as soon as it leads no more;
//   - tells it everything that applied commands did (granted, revoked, checkpointed, resolved), in their order;
//   - proposes what due() and clear() hand out in the order in which they handed it out, in its own term and as the
//     leader itself, or drops it. Never later, never through another member.
//
// A proposal carries the term in which it was decided and has no effect in an entry of another. So what this leader
// knew can't end a lease, or shorten its rest, under another leader. It also names the grant: a client may end a lease and
// have its id granted anew while a proposal about the old one is on its way.
//
// Why no lease ends early: between a grant or an answered keep-alive and the lease's end, the clocks of those who led
// have counted its TTL together. Within a term it is one clock. A new leader starts at the full TTL, or at the rest
// that an earlier leader has noted in the state (a checkpoint), which that leader had counted down to. A keep-alive
// is only answered when no rest that was noted before it is, or can still come to be, in the state: it is first cleared
// through the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "kvdpb/command.pb.h"
#include "raft/types.h"
#include "store/store.h"

namespace kv::server {

class Lessor {
 public:
  struct Options {
    bool checkpoints = true;
    int64_t checkpoint_interval_ms = 300'000;  // etcd's five minutes
    int64_t retry_ms = 3000;                   // a proposal whose effect isn't seen by then is made again
    // Bounds of one round, and of one command.
    int64_t round_ms = 500;
    size_t expiries_per_round = 500;
    size_t checkpoints_per_round = 10'000;
    size_t leases_per_command = 1000;
  };
  static constexpr int64_t kNever = INT64_MAX;

  explicit Lessor(const Options& options) : options_(options) {}

  // ---- who leads ----

  // Every lease gets its TTL, or the rest that the state has of it, from now on.
  void lead(raft::Term term, const std::vector<store::Lease>& leases, int64_t now_ms);
  void resign();
  // The term that it leads; 0: it doesn't. Then all that follows does and answers nothing.
  raft::Term term() const { return term_; }

  // ---- what the log did ----

  void granted(const store::Lease& lease, int64_t now_ms);
  void revoked(int64_t id);
  void checkpointed(int64_t id, int64_t remaining_s);
  // This leader's command of that number has been applied, in its own term. Those before it have been applied too, or
  // never will be.
  void resolved(uint64_t number);

  // ---- what clients ask. Leadership must have been confirmed by a round that began after they did ----

  enum class Renewal : uint8_t {
    kRenewed,    // the TTL counts from now
    kUnknown,    // no such lease
    kMustClear,  // not before clear() of it is applied; then ask again
    kExpiring,   // its end is proposed: ask again when it is gone, or after a while
  };
  Renewal renew(int64_t id, int64_t now_ms);

  struct Remaining {
    int64_t ms = 0;  // not below 0
    int64_t ttl_s = 0;
  };
  std::optional<Remaining> remaining(int64_t id, int64_t now_ms) const;

  // ---- what to propose ----

  // True when due() has something; it may be a moment before next_ms() says so that it has not.
  bool is_due(int64_t now_ms);
  // When to ask is_due() again.
  int64_t next_ms() const;
  // Leases that have outlived their time, and rests to be noted. In a round there is a limit to both.
  std::vector<kvdpb::Command> due(int64_t now_ms);
  // Clears noted rests, except where that is under way.
  std::vector<kvdpb::Command> clear(const std::vector<int64_t>& ids, int64_t now_ms);

  size_t size() const { return leases_.size(); }

 private:
  struct Lease {
    int64_t id = 0;
    int64_t ttl_s = 0;
    int64_t remaining_s = 0;  // as the state has it
    uint64_t grant = 0;       // likewise
    int64_t expiry_ms = 0;
    int64_t retry_ms = 0;            // while its end is proposed: when to propose it again
    int64_t checkpoint_ms = kNever;  // when its rest is to be noted
    uint64_t expiry_number = 0;      // of the command that proposes its end
    uint64_t checkpoint_number = 0;  // of the last one that notes a rest
    uint64_t clear_number = 0;       // of the last one that clears it
    int64_t clear_again_ms = 0;
    // Its place in the heap. The key there is when it is next looked at, which may be too early: a keep-alive moves
    // the expiry and leaves the heap alone.
    int64_t key_ms = 0;
    size_t place = 0;
  };

  bool rest_may_be_noted(const Lease& lease) const {
    return lease.remaining_s > 0 || lease.checkpoint_number > resolved_;
  }
  bool is_expiring(const Lease& lease) const { return lease.expiry_number > resolved_; }
  static int64_t due_ms(const Lease& lease);
  void start(Lease& lease, int64_t seconds, int64_t now_ms);
  void begin_round(int64_t now_ms);

  void place(Lease* lease, size_t at);
  void sift_up(size_t at);
  void sift_down(size_t at);
  void set_key(Lease& lease, int64_t key_ms);
  void push(Lease& lease);
  void erase(Lease& lease);

  const Options options_;
  raft::Term term_;
  uint64_t number_ = 0;    // of the last command handed out in this term
  uint64_t resolved_ = 0;  // of the last one whose fate is known
  std::unordered_map<int64_t, Lease> leases_;
  std::vector<Lease*> heap_;  // by key_ms, the smallest first
  int64_t round_end_ms_ = 0;
  size_t expiries_left_ = 0;
  size_t checkpoints_left_ = 0;
};

}  // namespace kv::server
