#include "store/store.h"

#include <atomic>
#include <mutex>

#include "store/batch.h"
#include "store/change_source.h"
#include "store/checkpoint.h"
#include "store/database.h"
#include "store/errors.h"
#include "store/hash.h"
#include "store/housekeeper.h"
#include "store/leases.h"
#include "store/range.h"
#include "store/range_cursor.h"
#include "store/view.h"

namespace kv::store {
namespace {

// A read without a snapshot is tried this often before it takes one.
constexpr int kReadsWithoutSnapshot = 2;

// A transaction that only reads, all of it from one view.
class ReadOnlyTxn final : public TxnState {
 public:
  explicit ReadOnlyTxn(CommittedView& view) : view_(view) {}

  View& view() override { return view_; }
  int64_t current_revision() const override { return view_.current(); }
  int64_t compact_revision() const override { return view_.compact_revision(); }
  bool lease_exists(int64_t) const override { return false; }
  Status txn_put(const etcdserverpb::PutRequest&, etcdserverpb::PutResponse*) override { return refuse(); }
  Status txn_delete_range(const etcdserverpb::DeleteRangeRequest&, etcdserverpb::DeleteRangeResponse*) override {
    return refuse();
  }

 private:
  static Status refuse() { return {Code::kInternal, "state: a read-only transaction wants to write"}; }

  CommittedView& view_;
};

class RocksStore final : public Store, public Batch::Listener {
 public:
  RocksStore(const StoreOptions& options, std::unique_ptr<Database> database, const StateInfo& info)
      : database_(std::move(database)),
        recent_(info.revision, options.recent_bytes),
        counts_(info.revision, {options.keys_per_block, 256}),
        cache_(options.head_cache_bytes),
        changes_(*database_, recent_, published_),
        housekeeper_({*database_, guard_, counts_, recent_, published_, options.changes_per_checkpoint,
                      options.changes_per_compaction_step}) {
    context_.database = database_.get();
    context_.recent = &recent_;
    context_.counts = &counts_;
    context_.cache = &cache_;
    context_.leases = &leases_;
    context_.compacted = &published_.compacted;
    context_.revision = info.revision;
    context_.compact_revision = info.compact_revision;
    publish({info.applied_index, info.applied_term, info.revision}, info.compact_revision);
  }

  Status start() {
    KV_RETURN_IF_ERROR(leases_.load(*database_));
    return housekeeper_.start(context_.revision, context_.compact_revision);
  }

  std::unique_ptr<ApplyBatch> begin() override { return std::make_unique<Batch>(context_, *this); }

  uint64_t applied_index() const override { return applied_index_.load(std::memory_order_acquire); }
  uint64_t applied_term() const override { return applied_term_.load(std::memory_order_acquire); }

  uint64_t durable_index() const override {
    // All column families flush atomically, so what the files of one say holds for all.
    std::string bytes;
    Applied applied;
    const Result<bool> found = database_->get_meta(kMetaApplied, &bytes, true);
    if (!found.ok() || !*found || !decode_applied(bytes, &applied)) return 0;
    return applied.index;
  }

  Revision revision() const override { return Revision(published_.revision.load(std::memory_order_acquire)); }

  StoreStats stats() const override {
    StoreStats stats;
    stats.revision = published_.revision.load(std::memory_order_acquire);
    stats.compact_revision = published_.compact_revision.load(std::memory_order_acquire);
    stats.keys = static_cast<uint64_t>(counts_.total());
    for (auto* family : {database_->head(), database_->history(), database_->meta(), database_->lease()}) {
      uint64_t n = 0;
      for (const char* property : {"rocksdb.total-sst-files-size", "rocksdb.size-all-mem-tables"}) {
        if ((*database_)->GetIntProperty(family, property, &n)) stats.bytes_on_disk += n;
      }
      for (const char* property : {"rocksdb.estimate-live-data-size", "rocksdb.size-all-mem-tables"}) {
        if ((*database_)->GetIntProperty(family, property, &n)) stats.bytes_in_use += n;
      }
    }
    return stats;
  }

  Status range(const etcdserverpb::RangeRequest& request, etcdserverpb::RangeResponse* response) const override {
    if (request.range_end().empty() && request.revision() <= 0) {
      for (int i = 0; i < kReadsWithoutSnapshot; ++i) {
        CommittedView view(*database_, recent_, counts_, published_, false);
        Status status = answer_range(view, view.current(), view.compact_revision(), request, response);
        if (status.code() != Code::kAborted) return status;
      }
    }
    CommittedView view(*database_, recent_, counts_, published_, true);
    return answer_range(view, view.current(), view.compact_revision(), request, response);
  }

  Result<std::unique_ptr<RangeCursor>> open_range(const etcdserverpb::RangeRequest& request) const override {
    return make_range_cursor(std::make_unique<CommittedView>(*database_, recent_, counts_, published_, true), request);
  }

  Status txn(const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response) const override {
    KV_CHECK(is_read_only(request), "what changes the state goes through a batch");
    CommittedView view(*database_, recent_, counts_, published_, true);
    ReadOnlyTxn state(view);
    return run_txn(state, request, response);
  }

  Result<HashResult> hash_kv(int64_t revision) const override {
    CommittedView view(*database_, recent_, counts_, published_, true);
    return hash_key_space(*database_, view, revision);
  }

  std::vector<Lease> leases() const override { return leases_.all(); }
  std::optional<Lease> lease(int64_t id) const override { return leases_.find(id); }
  Result<std::vector<std::string>> lease_keys(int64_t id) const override { return read_lease_keys(*database_, id); }

  std::optional<std::string> record(std::string_view name) const override {
    std::string value;
    const Result<bool> found = database_->get_meta(std::string(kMetaRecordPrefix).append(name), &value);
    // What can't be read must not pass for absent: a member list would be begun anew over the one that is there.
    KV_CHECK(found.ok(), "state: record " + std::string(name) + ": " + found.status().to_string());
    if (!*found) return std::nullopt;
    return value;
  }

  std::vector<std::pair<std::string, std::string>> records(std::string_view prefix) const override {
    auto records = database_->records(prefix);
    KV_CHECK(records.ok(), "state: records " + std::string(prefix) + ": " + records.status().to_string());
    return std::move(*records);
  }

  const ChangeSource& changes() const override { return changes_; }
  void set_commit_listener(CommitListener* listener) override { listener_ = listener; }

  void wait_compacted(int64_t revision, std::function<void(Status)> done) override {
    housekeeper_.wait_compacted(revision, std::move(done));
  }

  Status flush() override { return database_->flush(); }
  Status defragment(std::atomic<bool>& cancel) override { return database_->defragment(cancel); }
  Result<StateInfo> checkpoint(const std::string& path) override { return make_checkpoint(*database_, path); }

 private:
  // Batch::Listener.
  Status write(rocksdb::WriteBatch* batch, const BatchChanges& changes) override {
    const std::lock_guard lock(guard_.mutex());
    if (guard_.watching()) {
      for (size_t i = 0; i < changes.size(); ++i) guard_.strike_out(changes.at(i).key);
    }
    return database_->write(batch);
  }
  void committed(const Applied& applied, int64_t compact_revision, size_t changes, bool counts_have_work) override {
    const bool compacted = compact_revision != published_.compact_revision.load(std::memory_order_relaxed);
    publish(applied, compact_revision);
    if (listener_ != nullptr) listener_->committed();
    housekeeper_.committed(changes, counts_have_work);
    if (compacted) housekeeper_.compact_to(compact_revision);
  }

  void publish(const Applied& applied, int64_t compact_revision) {
    published_.compact_revision.store(compact_revision, std::memory_order_release);
    published_.revision.store(applied.revision, std::memory_order_release);
    applied_term_.store(applied.term, std::memory_order_release);
    applied_index_.store(applied.index, std::memory_order_release);
  }

  const std::unique_ptr<Database> database_;
  RecentChanges recent_;
  BlockCounts counts_;
  HeadCache cache_;
  LeaseTable leases_;
  HeadGuard guard_;
  CommittedView::Published published_;
  const ChangeSource changes_;
  CommitListener* listener_ = nullptr;
  std::atomic<uint64_t> applied_index_{0};
  std::atomic<uint64_t> applied_term_{0};
  ApplyContext context_;
  Housekeeper housekeeper_;  // works on all the above: made last, gone first
};

}  // namespace

Result<std::unique_ptr<Store>> Store::open(const StoreOptions& options) {
  Result<std::unique_ptr<Database>> database = Database::open(options);
  if (!database.ok()) return database.status();
  const Result<StateInfo> info = read_state_info(**database);
  if (!info.ok()) return info.status();
  auto store = std::make_unique<RocksStore>(options, std::move(*database), *info);
  KV_RETURN_IF_ERROR(store->start());
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace kv::store
