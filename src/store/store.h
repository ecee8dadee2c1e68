// The replicated state machine: etcd's MVCC key space, its leases, its users and roles, on a RocksDB of its own,
// <data-dir>/state. It knows no raft and no network: it is handed commands in their agreed order and is asked
// questions.
//
// The state writes no WAL: the raft log already is one. The applied index is part of each applied batch and all
// column families flush atomically, so after a crash the state is exactly at some applied index, and whoever
// owns the log replays from there (docs/design.md, "Store").
//
// Threads: one thread applies (begin() ... commit()); any thread reads. A read sees the state at one applied
// index, whole batches only.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/strong.h"
#include "etcdserverpb/rpc.pb.h"
#include "kvdpb/command.pb.h"
#include "store/auth_state.h"
#include "store/node_actions.h"
#include "store/node_counts.h"

namespace kv::store {

class AuthChanges;

using Revision = Strong<struct RevisionTag, int64_t>;

// etcd's limit: what does not overflow when somebody counts it in nanoseconds.
inline constexpr int64_t kMaxLeaseTtlS = 9'000'000'000;

struct Lease {
  int64_t id = 0;           // never 0
  int64_t ttl_s = 0;        // as granted
  int64_t remaining_s = 0;  // what a leader has left of it to the next one, by a checkpoint; 0: all of it
  uint64_t grant = 0;       // counts the grants of the store: tells a lease from an earlier one of the same id
};

struct StoreOptions {
  std::string path;
  bool create_if_missing = true;
  size_t write_buffer_bytes = 64 << 20;  // memtables, all column families together, before a flush begins
  size_t block_cache_bytes = 256 << 20;
  size_t recent_bytes = 32 << 20;      // the newest changes, kept in memory for reads a little in the past and watchers
  size_t head_cache_bytes = 32 << 20;  // what the thread that applies remembers of keys, without their values
  // Memory for counting: one small record per so many keys.
  size_t keys_per_block = 256;
  // History that a restart may have to read, and that one step of a compaction looks at.
  size_t changes_per_checkpoint = 256 << 10;
  size_t changes_per_compaction_step = 256 << 10;
  // False: closing the store loses what was not flushed, as a crash does; for tests of that.
  bool flush_on_close = true;
};

class Store;

// One raft entry being applied: any number of commands, atomic together. Each call answers as etcd does, errors
// included; a call that answers an error has changed nothing. Later calls see what earlier ones did. Nothing is
// visible to readers before commit().
//
// `header.revision` of each response is set as etcd sets it; the other header fields are the caller's.
class ApplyBatch {
 public:
  virtual ~ApplyBatch() = default;

  virtual Status put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response) = 0;
  virtual Status delete_range(const etcdserverpb::DeleteRangeRequest& request,
                              etcdserverpb::DeleteRangeResponse* response) = 0;
  virtual Status txn(const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response) = 0;
  // Marks the revision as compacted (durable with this batch); old history is removed in the background, see
  // Store::wait_compacted for `physical`.
  virtual Status compact(const etcdserverpb::CompactionRequest& request,
                         etcdserverpb::CompactionResponse* response) = 0;

  // `request` as the proposer has completed it: an id that is not 0 and the TTL that is really granted.
  virtual Status lease_grant(const etcdserverpb::LeaseGrantRequest& request,
                             etcdserverpb::LeaseGrantResponse* response) = 0;
  // Deletes all keys of the lease, in their order and in one revision; none when it has no keys.
  virtual Status lease_revoke(const etcdserverpb::LeaseRevokeRequest& request,
                              etcdserverpb::LeaseRevokeResponse* response) = 0;
  // Notes remaining TTLs; 0 forgets one. Leases that are gone are passed over.
  virtual Status lease_checkpoint(const etcdserverpb::LeaseCheckpointRequest& request,
                                  etcdserverpb::LeaseCheckpointResponse* response) = 0;

  // A call of /v2/keys that writes (store/node_tree.h). One that can't be done says so in the response, and is Ok.
  virtual Status node(const kvdpb::NodeRequest& request, kvdpb::NodeResponse* response) = 0;

  // As this batch has made it so far. The keys that hang on a lease come in order, none when there is no such lease.
  virtual std::optional<Lease> lease(int64_t id) const = 0;
  virtual Result<std::vector<std::string>> lease_keys(int64_t id) = 0;
  virtual int64_t revision() const = 0;

  // Users and roles, as this batch has made them so far, and how to change them. Nothing here asks by itself what its
  // caller may: that is asked of store/auth_rights.h, before.
  virtual AuthChanges& auth() = 0;

  // Small replicated records beside the key space (members, cluster version), in the same atomic batch.
  virtual void put_record(std::string_view name, std::string_view value) = 0;
  virtual void delete_record(std::string_view name) = 0;

  // Makes it all visible at once and records the applied index and its term. The batch is spent afterwards.
  // An I/O error here means the state can't be trusted in memory any more: the caller stops the member.
  virtual Status commit(uint64_t applied_index, uint64_t applied_term) = 0;
};

// Checks that need no state, made before a command is proposed, with etcd's errors and etcd's order of them.
// max_txn_ops: etcd's --max-txn-ops.
Status check(const etcdserverpb::RangeRequest& request);
// The same for a Range in pieces, which has no order but that of keys and no filters.
Status check_stream(const etcdserverpb::RangeRequest& request);
Status check(const etcdserverpb::PutRequest& request);
Status check(const etcdserverpb::DeleteRangeRequest& request);
Status check(const etcdserverpb::TxnRequest& request, size_t max_txn_ops);
Status check(const etcdserverpb::LeaseGrantRequest& request);

// True for a transaction of ranges only: it needs no log entry, Store::txn answers it. (A nested transaction counts as
// a write, as in etcd.)
bool is_read_only(const etcdserverpb::TxnRequest& request);

struct StoreStats {
  int64_t revision = 0;          // of the last change
  int64_t compact_revision = 0;  // reads below it are refused; 0 or -1 as etcd: none yet
  uint64_t keys = 0;             // live keys
  uint64_t bytes_on_disk = 0;    // all files of data, and what is in memory waiting to be flushed to them
  uint64_t bytes_in_memory = 0;  // the latter part of it
  uint64_t bytes_in_use = 0;     // an estimate of what live data take, never more than bytes_on_disk
};

struct HashResult {
  uint32_t hash = 0;
  int64_t hash_revision = 0;
  int64_t compact_revision = 0;
  int64_t revision = 0;
  uint64_t applied_index = 0;  // at which the state had reached hash_revision
};

// What a state on disk holds.
struct StateInfo {
  uint64_t applied_index = 0;                                // of the last entry in it, whole batches only
  uint64_t applied_term = 0;                                 // that entry's
  int64_t revision = 1;                                      // of the last change
  int64_t compact_revision = -1;                             // as StoreStats says
  std::vector<std::pair<std::string, std::string>> records;  // all of put_record's, by name
};

// Told during a hash how many bytes were read since it was told last; it may block to hold the reading back. False: the
// hash is given up (Aborted).
using HashPace = std::function<bool(size_t bytes)>;

// Told of commits.
class CommitListener {
 public:
  virtual ~CommitListener() = default;
  // What was committed is visible now. On the thread that applies, after each batch: must be quick.
  virtual void committed() = 0;
  // Somebody's rights are others now: Store::auth() says so already, and of what is committed with them or later
  // nothing is visible yet. On the thread that applies.
  virtual void rights_changed() {}
};

class ChangeSource;

// A state that was opened to take the place of the one that a store serves (Store::open_next). Dropped, it is closed,
// and its directory stays.
class NextState {
 public:
  virtual ~NextState() = default;
  virtual const StateInfo& info() const = 0;
};

// A Range that is answered in pieces, all from the state as it was when the cursor was opened, which is kept as long as
// the cursor lives: however much is written or compacted meanwhile, the pieces together are that one Range. One thread
// at a time; must not outlive the store.
class RangeCursor {
 public:
  virtual ~RangeCursor() = default;
  // The next at most `max_keys` keys (1 or more), and no further key once their keys and values have `max_bytes`. The
  // last piece, and no other, has header.revision, `more` and `count`; then it is done().
  virtual Status next(int64_t max_keys, size_t max_bytes, etcdserverpb::RangeResponse* piece) = 0;
  virtual bool done() const = 0;
};

class Store {
 public:
  // DataLoss when the files are damaged, Unavailable when another process holds them.
  static Result<std::unique_ptr<Store>> open(const StoreOptions& options);
  virtual ~Store() = default;

  // ---- applying: one thread ----
  virtual std::unique_ptr<ApplyBatch> begin() = 0;

  // ---- asking: any thread ----
  virtual uint64_t applied_index() const = 0;  // of the last commit(), 0 for a new store
  virtual uint64_t applied_term() const = 0;
  virtual uint64_t durable_index() const = 0;  // the applied index that is on disk for certain: the log may be
                                               // truncated up to it, never beyond
  virtual Revision revision() const = 0;       // 1 for a new store, as in etcd
  virtual StoreStats stats() const = 0;

  // etcd's Range at the present state. OutOfRange "etcdserver: mvcc: required revision has been compacted" /
  // "etcdserver: mvcc: required revision is a future revision". Sets header.revision.
  virtual Status range(const etcdserverpb::RangeRequest& request, etcdserverpb::RangeResponse* response) const = 0;

  // etcd's RangeStream at the present state, for a request that has passed check_stream(). Errors as range().
  virtual Result<std::unique_ptr<RangeCursor>> open_range(const etcdserverpb::RangeRequest& request) const = 0;

  // A transaction that is_read_only(), at the present state, from one snapshot.
  virtual Status txn(const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response) const = 0;

  // A GET of /v2/keys at the present state.
  virtual Status node(const kvdpb::NodeRequest& request, kvdpb::NodeResponse* response) const = 0;

  // Which v2 call made the revision ("create", "expire"; kRefreshAction), for the newest of them.
  virtual NodeAction node_action(int64_t revision) const = 0;

  virtual const NodeCounts& node_counts() const = 0;

  // A hash over everything that a reader could see at revisions (compact_revision, revision] (0: the current one): the
  // same on every member that is at that revision, however far each one's background compaction is.
  virtual Result<HashResult> hash_kv(int64_t revision, const HashPace& pace = {}) const = 0;

  // All leases, by id; one; and the keys that hang on one, in order (none when there is no such lease).
  virtual std::vector<Lease> leases() const = 0;
  virtual std::optional<Lease> lease(int64_t id) const = 0;
  virtual Result<std::vector<std::string>> lease_keys(int64_t id) const = 0;

  // Whether calls must say who they are: one atomic load, so that it costs nothing where it is off.
  virtual bool auth_enabled() const = 0;
  // Users and roles. Whoever reads data and then asks here gets rights at least as new as the data.
  virtual std::shared_ptr<const AuthState> auth() const = 0;

  // Aborts when a record can't be read: nobody may take what can't be read for what is not there.
  virtual std::optional<std::string> record(std::string_view name) const = 0;
  // All records whose names start with `prefix`, by name.
  virtual std::vector<std::pair<std::string, std::string>> records(std::string_view prefix) const = 0;

  // The changes in their order, for watchers (change_source.h). Lives as long as the store.
  virtual const ChangeSource& changes() const = 0;
  // One listener, which must outlive the store's last commit; set before the first one.
  virtual void set_commit_listener(CommitListener* listener) = 0;

  // Calls `done` once the background compaction has passed `revision` (or the store closes: Unavailable).
  virtual void wait_compacted(int64_t revision, std::function<void(Status)> done) = 0;

  // Writes everything that is in memory to disk, atomically over all column families; durable_index() reaches
  // applied_index() as it was at the call. Any thread; applying goes on.
  virtual Status flush() = 0;

  // Rewrites all tables, so that what was deleted, overwritten or compacted gives its space back at once and not when
  // its turn comes. Takes long (all that lives is read and written once) and needs as much free disk as the largest
  // level meanwhile; readers and the thread that applies go on. Stops soon after `cancel` turned true: Canceled, and
  // whatever was done by then stays. One at a time.
  virtual Status defragment(std::atomic<bool>& cancel) = 0;

  // ---- copies of the state ----

  // Makes the directory `path`, which does not exist, its parent does, into a copy of the state as of one applied
  // index, which is at least applied_index() at the call and is told in the answer. Everything is in it, all column
  // families at that one point; it is complete and synced when this returns, and can be opened by Store::open() (with
  // another process's copy of the member, say) or asked by inspect(). Files are shared with the state by hard links
  // where both are on one file system, else copied; they never change, but RocksDB's own small files (CURRENT,
  // MANIFEST, OPTIONS) do once somebody opens the copy for writing.
  //
  // Any thread; applying and reading go on, for a flush is all it costs. Several may run, with different paths. What is
  // left by a crash is `path`.tmp and is whoever chose the path's to remove. Errors: AlreadyExists; Internal (a full
  // disk), and then there is no `path`.
  virtual Result<StateInfo> checkpoint(const std::string& path) = 0;

  // What the state in the directory `path` holds, which nobody has open for writing. Nothing is written. DataLoss when
  // files are missing or of the wrong size; what they hold is checked when it is read. NotFound: no such directory.
  static Result<StateInfo> inspect(const std::string& path);

  // ---- replacing the state ----

  // Opens the copy of another member's state in the directory `path` beside this one. May take seconds; any thread.
  // Errors as open().
  virtual Result<std::unique_ptr<NextState>> open_next(const std::string& path) const = 0;

  // From now on `next`, which must not be behind, is what this store serves and applies to, in the directory where it
  // was opened. Readers that are at work, cursors too, keep the state that they have, and so do copies that are being
  // made; when the last is done, the old state is closed and its directory removed. The changes go on without a gap:
  // what history has not any more is below compact_revision(). Quick. The thread that applies, with no batch begun.
  virtual void install(std::unique_ptr<NextState> next) = 0;
};

}  // namespace kv::store
