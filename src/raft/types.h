// The words of consensus: terms, indexes, entries, messages. Plain values; no behaviour beyond comparison.
// Section numbers are those of Ongaro's thesis, "Consensus: Bridging Theory and Practice" (2014).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/strong.h"

namespace kv::raft {

using Term = Strong<struct TermTag>;      // 0: before the first election
using Index = Strong<struct IndexTag>;    // 0: before the first entry
using NodeId = Strong<struct NodeIdTag>;  // 0: nobody

// The bytes of an entry, shared between the log's cache, every follower's message and the apply stage, so that
// they are copied once, when they come in. Never null in an entry that has left the core; never changed.
using Payload = std::shared_ptr<const std::string>;

enum class EntryType : uint8_t {
  kNoop = 0,          // a new leader's first entry: replicas of earlier terms' entries don't count (3.6.2)
  kCommand = 1,       // opaque bytes for the state machine
  kConfigChange = 2,  // an encoded ConfigChange
};

struct Entry {
  Index index;
  Term term;
  EntryType type = EntryType::kCommand;
  Payload data;

  size_t bytes() const { return (data ? data->size() : 0) + 32; }
  bool operator==(const Entry& other) const {
    return index == other.index && term == other.term && type == other.type &&
           (data == other.data || (data && other.data && *data == *other.data));
  }
};

// What a member must not forget, whatever happens: on disk before it shows.
struct HardState {
  Term term;
  NodeId vote;   // whom it voted for in `term`; 0: nobody
  Index commit;  // may lag on disk; losing it costs time, never safety

  bool operator==(const HardState&) const = default;
};

// Who takes part. During a joint change (4.3) `outgoing` holds the old voters and decisions need a majority of
// both; `learners_next` are outgoing voters that become learners when the change is over. Sorted, no duplicates.
struct Configuration {
  std::vector<NodeId> voters;
  std::vector<NodeId> outgoing;
  std::vector<NodeId> learners;
  std::vector<NodeId> learners_next;
  // The leader leaves the joint configuration by itself as soon as it is committed.
  bool auto_leave = false;

  bool joint() const { return !outgoing.empty(); }
  bool operator==(const Configuration&) const = default;
};

enum class ChangeType : uint8_t { kAddVoter = 0, kAddLearner = 1, kRemove = 2 };

struct SingleChange {
  ChangeType type = ChangeType::kAddVoter;
  NodeId node;

  bool operator==(const SingleChange&) const = default;
};

// One change goes straight to the new configuration (4.1). Several at once go through the joint one, which the
// leader leaves by itself when it is committed. With `joint` even a single change goes through it, and it lasts
// until empty `changes` with `leave_joint` end it.
struct ConfigChange {
  std::vector<SingleChange> changes;
  bool joint = false;
  bool leave_joint = false;
  std::string context;  // the caller's own bytes, applied with the change

  bool operator==(const ConfigChange&) const = default;
};

// Byte format in docs/formats.md. decode: nullopt when the bytes are not a ConfigChange.
std::string encode(const ConfigChange& change);
std::optional<ConfigChange> decode_config_change(std::string_view bytes);

// Where a snapshot stands; the state itself travels outside the core.
struct SnapshotMeta {
  Index index;
  Term term;
  Configuration configuration;

  bool operator==(const SnapshotMeta&) const = default;
};

// ---- messages ----------------------------------------------------------------------------------------------

// 3.4, 9.6 (pre-vote). `transfer`: the election was asked for by the leader (3.10), so check-quorum's leader
// stickiness does not apply.
//
// A request and a refusal name an entry that their sender knows to be committed; who has that very entry learns so
// (commit_term 0: none is named). A configuration takes effect when its entry is committed and applied, so a member
// that waits for that news may hold back others, or itself: the longer log may be with one who can't stand, because
// it was removed, or was promoted and does not know it yet.
struct VoteRequest {
  bool pre_vote = false;
  bool transfer = false;
  Index last_index;
  Term last_term;
  Index commit;
  Term commit_term;
  bool operator==(const VoteRequest&) const = default;
};
struct VoteReply {
  bool pre_vote = false;
  bool granted = false;
  Index commit;
  Term commit_term;
  bool operator==(const VoteReply&) const = default;
};

// 3.5. Entries are consecutive from previous_index + 1.
struct AppendRequest {
  Index previous_index;
  Term previous_term;
  Index commit;
  std::vector<Entry> entries;
  bool operator==(const AppendRequest&) const = default;
};
// Accepted: `index` is the last index known to match. Rejected: `index` is the previous_index that did not
// match, and hint_index / hint_term are the follower's best guess of where the logs agree: its largest entry
// at or below `index` whose term is at most the request's previous_term.
struct AppendReply {
  bool accepted = false;
  Index index;
  Index hint_index;
  Term hint_term;
  bool operator==(const AppendReply&) const = default;
};

// `read_round` numbers the leader's rounds of confirmation for linearizable reads (6.4); the reply repeats it.
struct Heartbeat {
  Index commit;  // never above what the follower is known to have
  uint64_t read_round = 0;
  bool operator==(const Heartbeat&) const = default;
};
struct HeartbeatReply {
  uint64_t read_round = 0;
  bool operator==(const HeartbeatReply&) const = default;
};

// A follower asks the leader for a read index, and gets it when a quorum has confirmed the leader. `id` is the
// follower's own number, repeated in the reply. index 0: refused (not the leader, or no entry of its term
// committed yet and too many waiting); the follower fails the read so that the client tries again.
struct ReadIndexRequest {
  uint64_t id = 0;
  bool operator==(const ReadIndexRequest&) const = default;
};
struct ReadIndexReply {
  uint64_t id = 0;
  Index index;
  bool operator==(const ReadIndexReply&) const = default;
};

// A proposal forwarded to the leader. It may be lost like any message; the proposer's deadline covers that.
struct Forward {
  EntryType type = EntryType::kCommand;
  Payload data;
  bool operator==(const Forward& other) const {
    return type == other.type && (data == other.data || (data && other.data && *data == *other.data));
  }
};

// The receiver lacks entries that the leader's log no longer holds. The receiver fetches the state by its own
// means (Ready::snapshot_to_install), then answers.
struct SnapshotOffer {
  SnapshotMeta meta;
  bool operator==(const SnapshotOffer&) const = default;
};
struct SnapshotReply {
  bool installed = false;
  Index index;
  bool operator==(const SnapshotReply&) const = default;
};

// 3.10: the receiver is up to date and shall stand for election now.
struct TimeoutNow {
  bool operator==(const TimeoutNow&) const = default;
};

using MessageBody = std::variant<VoteRequest, VoteReply, AppendRequest, AppendReply, Heartbeat, HeartbeatReply,
                                 ReadIndexRequest, ReadIndexReply, Forward, SnapshotOffer, SnapshotReply, TimeoutNow>;

// For pre-vote requests, and replies that grant them, `term` is the term that the candidate would stand in; for all
// others the sender's own.
struct Message {
  NodeId from;
  NodeId to;
  Term term;
  MessageBody body;

  bool operator==(const Message&) const = default;
};

}  // namespace kv::raft
