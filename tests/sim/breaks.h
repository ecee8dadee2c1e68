// Deliberate mistakes of the driver, one at a time (`kvd_sim --break NAME`). Each is a bug that some real system
// had, or one that a driver of the core is likely to have; tests/sim/breaks_test.cc demands that the checkers
// see every one. A checker that has never seen a bug proves nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace kv::sim {

enum class Break : uint8_t {
  kNone,
  kPersistedBeforeSync,    // Core::persisted() as soon as the write was issued
  kPromiseBeforeSync,      // messages_after_persist leave at once
  kApplyUnpersisted,       // applies whatever is committed, on disk here or not
  kLoseSyncedVote,         // a crash forgets the vote, though it was synced
  kLoseSyncedTerm,         // a crash brings back an older hard state
  kLoseSyncedEntry,        // a crash forgets the last synced entry
  kKeepOverwrittenTail,    // entries that replace a tail leave what followed it on disk
  kDropHardState,          // hard state without entries is not written
  kCompactUnflushed,       // truncates the log beyond what the state machine has on disk
  kAppliedIndexApart,      // the applied index is saved apart from its data (etcd 13766)
  kSnapshotWithoutConfig,  // installs a snapshot's state and keeps the old configuration
  kStaleRead,              // answers a read from the local state without asking the core
  kReadUnapplied,          // answers a read at once when its index is known, applied or not
  kReadTwice,              // delivers a read's answer twice
  kLoseRead,               // drops an answer of the core to a read
  kAckAtPropose,           // acknowledges a write once the leader has accepted it
  kStopPersisted,          // stops telling the core about its disk after a while
  kMisdeliver,             // delivers a vote under another sender's name
  kProposeAgainEarly,      // proposes a write again as soon as another leader is known

  // Of the machine in store/:
  kPutDiffers,            // one member applies another value than the log says
  kForgetCompaction,      // one member skips a compaction
  kWrongAnswer,           // a client is told the revision before its own
  kRevokeInTwoRevisions,  // a lease takes its first key with it before the others
  kExpiryOfAnyTerm,       // what a leader decided upon ends leases under the next one, too (etcd 12528, 15247)
  kUnconfirmedKeepAlive,  // a leader answers keep-alives without asking whether it still is one (etcd 15247)
  kIgnoreNotedRest,       // answers a keep-alive while the state still has a checkpoint from before it
  kLeadFromCheckpoint,    // a new leader takes a lease's last checkpoint for its rest, cleared or not
  kHastyLessor,           // a leader's clock runs ahead while it counts a lease's time
  kLoseExpiry,            // leases are never ended
  kForgetLeases,          // a new leader does not know the leases that were there before it
  kLoseEvent,             // an event that is read from history is lost now and then, at the ring's edge say
  kRepeatEvent,           // a watch is resumed at the last revision that it saw, not after it
  kSplitRevision,         // a revision's events come in two responses
  kProgressAhead,         // a progress notification names a revision that is on its way still
  kHideCompaction,        // a watch that starts in what is compacted goes on after it, without a word
  kCancelAtCompaction,    // a watch from the compact revision on is refused (etcd 19179)
  kForgetPrevious,        // events come without the value before
  kCount,
};
inline constexpr Break kFirstStoreBreak = Break::kPutDiffers;

std::string_view name(Break broken);
std::optional<Break> break_by_name(std::string_view text);

}  // namespace kv::sim
