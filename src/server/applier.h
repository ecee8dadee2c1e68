// The apply stage: committed entries in, the store's answers out. It turns entries back into commands, applies
// all that it is handed as one atomic batch, and ends the calls of this member's clients that wait for them.
//
// Owned by one thread (the engine's own, or the apply thread). Deterministic: what it does to the store depends
// on the entries alone; only who gets an answer depends on the member.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/status.h"
#include "raft/types.h"
#include "server/alarms.h"
#include "server/pending_calls.h"
#include "store/store.h"

namespace kv::server {

// A committed entry; for a configuration change, with the configuration that raft has switched to.
struct CommittedEntry {
  raft::Entry entry;
  std::optional<raft::Configuration> configuration;
};

// What applied commands did to leases, for whoever counts their time.
struct LeaseEvent {
  enum class Kind : uint8_t { kGranted, kRevoked, kExpired, kCheckpointed } kind;
  store::Lease lease;  // kRevoked, kExpired: the id only; kCheckpointed: id and remaining_s
};
struct LeaseNews {
  raft::Term term;                 // of the last entry applied
  std::vector<LeaseEvent> events;  // in the order of the commands
  uint64_t resolved = 0;  // the last number of a LeaseExpiry or LeaseCheckpoints that an entry of that term held
};

class LeaseObserver {
 public:
  virtual ~LeaseObserver() = default;
  // After each batch, when the store shows it and before its calls are answered. On the thread that applies.
  virtual void applied(const LeaseNews& news) = 0;
};

class TokenObserver {
 public:
  virtual ~TokenObserver() = default;
  // `identity` carries this token from now on. Before the store shows its entry as applied, so that whoever sees that and
  // does not find the token knows that it is none; on the thread that applies.
  virtual void assigned(const std::string& token, store::Identity identity) = 0;
};

// Asked for the time before a batch and told after it.
class ApplyTimer {
 public:
  virtual ~ApplyTimer() = default;
  virtual int64_t now_ms() const = 0;
  virtual void applied(int64_t began_ms, const CommittedEntry* first, const CommittedEntry* last) = 0;
};

// Told when the member list or raft's configuration has changed.
class MembershipObserver {
 public:
  virtual ~MembershipObserver() = default;
  // When the store shows it and before its calls are answered. On the thread that applies.
  virtual void members_changed() = 0;
};

// Calls that change members complete with a kvdpb::MembershipResponse, whichever they are.
class Applier {
 public:
  // All must outlive the applier. `term`: the member's current raft term, for response headers. `leases` and `tokens`
  // may be null, and `alarms`, which then refuse nothing.
  Applier(store::Store& store, PendingCalls& calls, uint64_t member_id, uint64_t cluster_id,
          const std::atomic<uint64_t>& term, LeaseObserver* leases = nullptr, TokenObserver* tokens = nullptr,
          Alarms* alarms = nullptr, MembershipObserver* members = nullptr);

  // Before the first apply(); may be null.
  void time_by(ApplyTimer* timer) { timer_ = timer; }

  // Applies consecutive entries. Entries at or below the store's applied index are skipped, which is what makes
  // replay after a restart harmless. An error means that the store failed; the member must stop.
  Status apply(const std::vector<CommittedEntry>& entries);

  // The state is replaced by a later one, another member's: in its turn among the entries. The calls that wait for
  // entries which it holds are not answered; they end by their time, as when an answer is lost.
  void install(std::unique_ptr<store::NextState> next) {
    store_.install(std::move(next));
    if (alarms_ != nullptr) alarms_->load(store_, member_id_);
  }

  // What the state has on disk (Store::durable_index). Any thread.
  raft::Index durable_index() const { return raft::Index(store_.durable_index()); }

 private:
  struct Answer;
  Status apply_batch(const CommittedEntry* first, const CommittedEntry* last);

  store::Store& store_;
  PendingCalls& calls_;
  const uint64_t member_id_;
  const uint64_t cluster_id_;
  const std::atomic<uint64_t>& term_;
  LeaseObserver* const leases_;
  TokenObserver* const tokens_;
  Alarms* const alarms_;
  MembershipObserver* const members_;
  ApplyTimer* timer_ = nullptr;
};

}  // namespace kv::server
