// The Raft state machine, whole and pure: no thread, no clock, no I/O, no global; its randomness is a seed. The
// same seed and the same calls give the same outputs, byte for byte, which is what makes a failed simulation
// replayable. One Core is one member of one group.
//
// How it is driven (raft/node does it for real, tests/sim under a simulated disk and network):
//
//   core.step(message) / core.propose(...) / core.tick() ...       any number of inputs
//   while (core.has_ready()) {
//     Ready ready = core.take_ready();
//     send(ready.messages);                         // may leave before anything is on disk (10.2.1)
//     log.write(ready.hard_state, ready.entries);   // one synced batch, when ready.must_sync
//     core.persisted(ready.number);                 // ... now or later, in order
//     send(ready.messages_after_persist);           // promises: only once the disk has answered
//     apply(ready.committed); core.applied(last);
//   }
//
// Several Readys may be outstanding: the disk's answer for one may come after the next was taken. Entries are
// handed out in `committed` only after they are committed AND persisted here, so the state machine never gets
// ahead of its own log. Writes reach the disk in the order of the Readys, and messages_after_persist wait for their
// own Ready and all before it, even where that Ready has nothing to write itself.
//
// Not thread-safe. A broken precondition aborts (KV_CHECK); nothing that a peer can send does.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/status.h"
#include "raft/types.h"

namespace kv::raft {

// The log as the core sees it: what is persisted, or at least handed out to be. Calls must be deterministic and
// fast; the core asks only for entries that its own tail in memory no longer holds (a follower far behind).
class LogReader {
 public:
  virtual ~LogReader() = default;
  // The first index still held; entries below are covered by a snapshot. An empty log that begins after a
  // snapshot at index i answers i + 1 and i.
  virtual Index first_index() const = 0;
  virtual Index last_index() const = 0;
  // The term of first_index() - 1 (the snapshot's) up to last_index(); nullopt outside.
  virtual std::optional<Term> term(Index index) const = 0;
  // Entries [from, to), cut before the total exceeds max_bytes but never empty when from < to.
  // from >= first_index(), to <= last_index() + 1.
  virtual std::vector<Entry> entries(Index from, Index to, size_t max_bytes) const = 0;
};

struct CoreOptions {
  NodeId id;
  // A follower stands for election after a random number of ticks in [election_ticks, 2 * election_ticks).
  uint32_t election_ticks = 10;
  uint32_t heartbeat_ticks = 1;
  bool pre_vote = true;      // 9.6
  bool check_quorum = true;  // 6.2: a leader that hears from no quorum for election_ticks steps down
  // Another for every member and every start: election timeouts must differ, and a restarted member must not take
  // an answer to its former self for its own.
  uint64_t seed = 1;

  size_t max_append_bytes = 1 << 20;            // entries in one AppendRequest
  size_t max_inflight_appends = 256;            // unanswered AppendRequests per follower
  size_t max_inflight_bytes = 64 << 20;         // ... and their bytes
  size_t max_uncommitted_bytes = 256 << 20;     // proposals are refused above (never a lone one)
  size_t max_committed_bytes = 16 << 20;        // entries in one Ready::committed
  size_t max_cached_bytes = 64 << 20;           // persisted and applied tail kept in memory for slow followers
  size_t max_pending_reads = 1 << 16;           // reads that wait for a round or for the term's first commit
};

// Where the member stands when it starts.
struct InitialState {
  HardState hard_state;
  // As of `applied`; entries after it are applied again. Empty, with an empty log: a member that joins. It knows
  // nothing to which the changes in the log could apply, so it refuses entries until it has installed a snapshot.
  Configuration configuration;
  Index applied;
};

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };
std::string_view role_name(Role role);

// What others may see of the member's place.
struct SoftState {
  Role role = Role::kFollower;
  NodeId leader;  // 0: none known
  bool operator==(const SoftState&) const = default;
};

struct ReadState {
  uint64_t id = 0;
  Index index;  // serve the read once this index is applied; 0: refused, try again
  bool operator==(const ReadState&) const = default;
};

struct Ready {
  uint64_t number = 0;  // for Core::persisted; ascending
  std::optional<SoftState> soft_state;  // when it changed
  std::optional<HardState> hard_state;  // when it changed; persist it with the entries
  std::vector<Entry> entries;           // append; an entry at an index that exists replaces it and all after it
  bool must_sync = false;               // false: only the commit index moved, no sync needed
  std::vector<Message> messages;
  std::vector<Message> messages_after_persist;
  std::vector<Entry> committed;  // consecutive from the last handed out; apply, then applied(last)
  std::vector<ReadState> reads;
  // Fetch this state from `snapshot_from`, install it, then snapshot_installed(meta) or snapshot_failed().
  // No second one is handed out meanwhile.
  std::optional<SnapshotMeta> snapshot_to_install;
  NodeId snapshot_from;
};

enum class ProgressState : uint8_t { kProbe, kReplicate, kSnapshot };

struct PeerStatus {
  NodeId id;
  Index match;
  Index next;
  ProgressState state = ProgressState::kProbe;
  bool learner = false;
  // Answered within the last election timeout; a while longer, two at most, it may say so of one who did not.
  bool recently_active = false;
};

struct CoreStatus {
  NodeId id;
  SoftState soft_state;
  Term term;
  NodeId vote;
  Index commit;
  Index applied;
  Index last_index;
  NodeId transferee;  // leader transfer under way to this node; 0: none
  Configuration configuration;
  std::vector<PeerStatus> peers;  // on a leader; all members but itself
};

class Core {
 public:
  // `log` must outlive the core. Aborts when options or state contradict each other.
  Core(const CoreOptions& options, const InitialState& state, const LogReader& log);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // ---- inputs ----
  void tick();
  // A message from a peer. Anything may come: stale, duplicated, from a stranger; what makes no sense is dropped.
  void step(Message message);

  // On the leader: appends and returns the index (ok says nothing about commitment). On a follower that knows a
  // leader: forwards it and returns index 0. Errors: Unavailable "etcdserver: no leader"; ResourceExhausted
  // "etcdserver: too many requests" above max_uncommitted_bytes; Unavailable "etcdserver: leader changed"
  // while leadership is being handed over.
  Result<Index> propose(Payload data);
  // FailedPrecondition while another change is not applied yet, before the leader has committed an entry of its
  // term (raft-dev 2015), or when the change makes no sense for the present configuration. Leader only:
  // elsewhere FailedPrecondition "etcdserver: not leader".
  Result<Index> propose_change(const ConfigChange& change);
  // Linearizable read (6.4): answered through Ready::reads with the same id, once, unless the core is destroyed.
  // A round that confirms it starts after this call. `id` is unique among those that wait.
  void read_index(uint64_t id);
  // 3.10. Nothing happens unless this is the leader and `to` is a voter. Given up after election_ticks.
  void transfer_leadership(NodeId to);
  // Stand for election now, whatever the timer says (a single member at start; tests).
  void campaign();
  // The member gives up what it has of leadership and stands for nothing for one election timeout.
  void step_down();

  // ---- acknowledgements ----
  void persisted(uint64_t ready_number);  // that Ready and all before it are on disk
  // All committed entries up to `index` are applied. Needed for progress: no more than max_committed_bytes are
  // handed out and not applied.
  void applied(Index index);
  // A committed kConfigChange entry is to be applied by this call, before applied() of its index. A change that
  // no longer makes sense changes nothing. Returns the configuration now in force.
  Configuration apply_change(const ConfigChange& change);
  // Log and state now begin at meta.index: that of the snapshot in Ready, or a later one of the same leader's. From
  // the Ready to this call the log stands still: no entries are taken or handed out as committed. Writes of that Ready
  // and before come first; then the LogReader's log is replaced; then this call.
  void snapshot_installed(const SnapshotMeta& meta);
  void snapshot_failed();
  // The member's own log was truncated: a snapshot exists at `meta`, entries up to it may be gone from the LogReader.
  void log_compacted(const SnapshotMeta& meta);
  // The transport could not deliver to `peer`: go back to probing it.
  void unreachable(NodeId peer);
  // The stream to `peer` has ended: its process died, say. A follower that loses its leader so stands soon instead of
  // waiting for the silence to grow long. Only with pre-vote, which keeps the one that alone lost sight of a leader
  // from disturbing it (9.6): the others, who hear from the leader, refuse.
  void stream_lost(NodeId peer);

  // ---- outputs ----
  bool has_ready() const;
  Ready take_ready();

  CoreStatus status() const;
  bool is_leader() const;
  NodeId leader() const;
  Term term() const;
  Index commit() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace kv::raft
