// One batch of commands being applied. Its changes are encoded as they come, into the history records that commit()
// will write; an overlay on top of the committed state finds a key's newest change among them.
#pragma once

#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_set.h>
#include <rocksdb/write_batch.h>

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "store/auth_changes.h"
#include "store/encoding.h"
#include "store/head_cache.h"
#include "store/history.h"
#include "store/leases.h"
#include "store/node_actions.h"
#include "store/node_counts.h"
#include "store/node_records.h"
#include "store/store.h"
#include "store/store_metrics.h"
#include "store/txn.h"
#include "store/view.h"

namespace kv::store {

// What batch after batch works on; owned by the store, touched by the thread that applies.
struct ApplyContext {
  Database* database = nullptr;
  RecentChanges* recent = nullptr;
  BlockCounts* counts = nullptr;
  HeadCache* cache = nullptr;
  LeaseTable* leases = nullptr;
  AuthTable* auth = nullptr;
  NodeActions* node_actions = nullptr;
  NodeCounts* node_counts = nullptr;
  const std::atomic<int64_t>* compacted = nullptr;  // CommittedView::Published's
  int64_t revision = 1;
  int64_t compact_revision = -1;
};

// The changes of a batch, and a key's newest among them.
class BatchChanges {
 public:
  // A history record is closed when it reaches this size (one change more may go beyond) or has so many changes: when
  // it is compacted, all of it is rewritten at once.
  static constexpr size_t kRecordBytes = 64 << 10;
  static constexpr size_t kRecordChanges = 256;

  BatchChanges() : newest_(0, KeyHash{this}, KeyEqual{this}), ordered_(KeyLess{this}) {}
  BatchChanges(const BatchChanges&) = delete;
  BatchChanges& operator=(const BatchChanges&) = delete;

  void add(std::string_view key, const Record& record);
  // Undoes the changes after the first `count`.
  void truncate(size_t count);

  size_t size() const { return changes_.size(); }
  Change at(size_t i) const;
  // The newest change of a key; nullopt when the batch has none. Valid until the next add().
  std::optional<Change> find(std::string_view key) const;
  std::optional<Change> find(Rev rev) const;

  // The keys of the batch in order, each with the number of its newest change.
  class KeyIterator;
  KeyIterator keys_from(std::string_view begin);
  KeyIterator keys_before(const std::string_view* end);

  std::deque<HistoryBuilder>& records() { return records_; }
  // Numbers of the newest change of each key, in the order of keys.
  std::vector<uint32_t> newest_by_key() const;

 private:
  struct Place {
    uint32_t record;
    HistoryBuilder::Place place;
    uint32_t key_offset;
    uint32_t key_size;
    int64_t replaces;  // the key's newest change before this one in the batch; -1: none
  };
  // A key stands for itself or for the number of a change that has it.
  struct Newest {
    mutable uint32_t change;
  };
  std::string_view key_of(const Newest& n) const { return key_of(n.change); }
  std::string_view key_of(std::string_view key) const { return key; }
  std::string_view key_of(uint32_t change) const {
    const Place& p = changes_[change];
    return std::string_view(records_[p.record].bytes()).substr(p.key_offset, p.key_size);
  }
  struct KeyHash {
    using is_transparent = void;
    const BatchChanges* changes;
    template <typename T>
    size_t operator()(const T& key) const {
      return absl::Hash<std::string_view>()(changes->key_of(key));
    }
  };
  struct KeyEqual {
    using is_transparent = void;
    const BatchChanges* changes;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return changes->key_of(a) == changes->key_of(b);
    }
  };
  struct KeyLess {
    using is_transparent = void;
    const BatchChanges* changes;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return changes->key_of(a) < changes->key_of(b);
    }
  };
  using Ordered = absl::btree_set<Newest, KeyLess>;

  void sort_keys();

  std::deque<HistoryBuilder> records_;
  std::vector<Place> changes_;
  absl::flat_hash_set<Newest, KeyHash, KeyEqual> newest_;
  Ordered ordered_;  // the same as newest_, once somebody has asked for the order
  bool is_ordered_ = false;

 public:
  class KeyIterator {
   public:
    bool valid() const { return forward_ ? at_ != end_ : at_ != begin_; }
    void next() { forward_ ? ++at_ : --at_; }
    std::string_view key() const { return changes_->key_of(*current()); }
    Change change() const { return changes_->at(current()->change); }

   private:
    friend class BatchChanges;
    Ordered::const_iterator current() const { return forward_ ? at_ : std::prev(at_); }
    const BatchChanges* changes_ = nullptr;
    Ordered::const_iterator at_, begin_, end_;
    bool forward_ = true;
  };
};

class Batch final : public ApplyBatch, private View, private TxnState {
 public:
  // What commit() goes through.
  class Listener {
   public:
    virtual ~Listener() = default;
    // Somebody's rights are others, and published; nothing else of the batch is.
    virtual void rights_changed() = 0;
    virtual Status write(rocksdb::WriteBatch* batch, const BatchChanges& changes) = 0;
    // The database has it; now readers may.
    virtual void committed(const Applied& applied, int64_t compact_revision, size_t changes, bool counts_have_work) = 0;
  };

  Batch(ApplyContext& context, Listener& listener);

  Status put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response) override;
  Status delete_range(const etcdserverpb::DeleteRangeRequest& request,
                      etcdserverpb::DeleteRangeResponse* response) override;
  Status txn(const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response) override;
  Status compact(const etcdserverpb::CompactionRequest& request, etcdserverpb::CompactionResponse* response) override;
  Status node(const kvdpb::NodeRequest& request, kvdpb::NodeResponse* response) override;
  std::optional<Lease> lease(int64_t id) const override { return leases_.find(id); }
  Result<std::vector<std::string>> lease_keys(int64_t id) override;
  int64_t revision() const override { return revision_; }
  AuthChanges& auth() override { return auth_; }
  Status lease_grant(const etcdserverpb::LeaseGrantRequest& request,
                     etcdserverpb::LeaseGrantResponse* response) override;
  Status lease_revoke(const etcdserverpb::LeaseRevokeRequest& request,
                      etcdserverpb::LeaseRevokeResponse* response) override;
  Status lease_checkpoint(const etcdserverpb::LeaseCheckpointRequest& request,
                          etcdserverpb::LeaseCheckpointResponse* response) override;
  void put_record(std::string_view name, std::string_view value) override;
  void delete_record(std::string_view name) override;
  Status commit(uint64_t applied_index, uint64_t applied_term) override;

 private:
  friend class BatchNodes;

  // View: the state as this batch has made it so far.
  Result<bool> get(std::string_view key, int64_t at, Record* record) override;
  Status scan(const KeyRange& range, int64_t at, bool reverse, Visitor visit) override;
  Result<int64_t> count(const KeyRange& range, int64_t at) override;

  // TxnState.
  View& view() override { return *this; }
  int64_t current_revision() const override { return revision_ + (next_sub_ > 0 ? 1 : 0); }
  int64_t compact_revision() const override { return compact_revision_; }
  bool lease_exists(int64_t lease) const override;
  void count_range() override { ++counts_.ranges; }
  Status txn_put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response) override;
  Status txn_delete_range(const etcdserverpb::DeleteRangeRequest& request,
                          etcdserverpb::DeleteRangeResponse* response) override;

  // The key's newest record, tombstones included; false when there is none. Without `with_value` the value is left
  // out, which mostly saves the read.
  Result<bool> newest(std::string_view key, bool with_value, Record* record);
  Result<bool> settle_in_batch(std::string_view key, Record* record, int64_t at);
  void change(std::string_view key, Record record, const Record* before);
  // The keys that hang on the lease, in order, each with its newest record; `visit` may change the key.
  Status for_keys_of(int64_t lease, absl::FunctionRef<void(const std::string&, const Record&)> visit);
  Status delete_keys_of(int64_t lease);
  // The directory that was to end with the lease.
  Status delete_node_of(int64_t lease, const std::string& path);
  // A command ends: what it changed becomes one revision, or, after an error, nothing.
  Status finish(Status status);

  ApplyContext& context_;
  Listener& listener_;
  BatchChanges changes_;
  std::vector<uint32_t> waypoints_;  // numbers of changes_ that get one
  LeaseChanges leases_;
  AuthChanges auth_;
  NodeRecords nodes_;
  rocksdb::WriteBatch writes_;
  int64_t revision_;  // of the last command that changed something
  int64_t compact_revision_;
  uint32_t next_sub_ = 0;       // of the command that runs
  bool nodes_changed_ = false;  // by it: directories, which are no keys
  size_t changes_before_ = 0;   // ... and how many changes there were before it
  bool spent_ = false;
  OperationCounts counts_;   // of the command that runs
  OperationCounts counted_;  // of those that are done
  Status failure_;           // of a read of the state; commit() answers it
  rocksdb::PinnableSlice value_;
  std::optional<HistoryCursor> history_;
};

}  // namespace kv::store
