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
  kCount,
};

std::string_view name(Break broken);
std::optional<Break> break_by_name(std::string_view text);

}  // namespace kv::sim
