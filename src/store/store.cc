#include "store/store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <utility>

#include "store/auth_changes.h"
#include "store/batch.h"
#include "store/change_source.h"
#include "store/checkpoint.h"
#include "store/database.h"
#include "store/errors.h"
#include "store/generation.h"
#include "store/hash.h"
#include "store/node_records.h"
#include "store/node_tree.h"
#include "store/range.h"
#include "store/range_cursor.h"
#include "store/store_metrics.h"
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
  void count_range() override { ++counts_.ranges; }
  const OperationCounts& counts() const { return counts_; }
  Status txn_put(const etcdserverpb::PutRequest&, etcdserverpb::PutResponse*) override { return refuse(); }
  Status txn_delete_range(const etcdserverpb::DeleteRangeRequest&, etcdserverpb::DeleteRangeResponse*) override {
    return refuse();
  }

 private:
  static Status refuse() { return {Code::kInternal, "state: a read-only transaction wants to write"}; }

  CommittedView& view_;
  OperationCounts counts_;
};

// A state that is open and not served yet.
class OpenedState final : public NextState {
 public:
  explicit OpenedState(std::unique_ptr<Generation> opened) : generation(std::move(opened)) {}
  const StateInfo& info() const override { return generation->info; }

  std::unique_ptr<Generation> generation;
};

// Keeps the state that a cursor reads.
class PinnedCursor final : public RangeCursor {
 public:
  PinnedCursor(std::shared_ptr<const Generation> generation, std::unique_ptr<RangeCursor> cursor)
      : generation_(std::move(generation)), cursor_(std::move(cursor)) {}

  Status next(int64_t max_keys, size_t max_bytes, etcdserverpb::RangeResponse* piece) override {
    return cursor_->next(max_keys, max_bytes, piece);
  }
  bool done() const override { return cursor_->done(); }

 private:
  const std::shared_ptr<const Generation> generation_;
  const std::unique_ptr<RangeCursor> cursor_;
};

// What the rules of /v2/keys look at, at one point.
class CommittedNodes final : public NodeReader {
 public:
  CommittedNodes(const Database& database, CommittedView& view) : view_(view), records_(database, view.snapshot()) {}

  Result<std::optional<NodeFile>> file(const std::string& path) override {
    Record record;
    const Result<bool> found = view_.get(path, view_.current(), &record);
    if (!found.ok()) return found.status();
    if (!*found) return std::optional<NodeFile>();
    return std::optional<NodeFile>(node_file(record));
  }
  Status files(const std::string& begin, const std::string& end, VisitFile visit) override {
    return view_.scan(KeyRange::of(begin, end), view_.current(), false,
                      [&visit](std::string_view key, const Record& record) { return visit(key, node_file(record)); });
  }
  Result<std::optional<kvdpb::NodeDirectory>> directory(const std::string& path) override {
    return records_.directory(path);
  }
  Status directories(const std::string& begin, const std::string& end, VisitDirectory visit) override {
    return records_.directories(begin, end, visit);
  }

 private:
  CommittedView& view_;
  const NodeRecords records_;
};

Result<std::unique_ptr<Generation>> open_generation(const StoreOptions& options) {
  Result<std::unique_ptr<Database>> database = Database::open(options);
  if (!database.ok()) return database.status();
  const Result<StateInfo> info = read_state_info(**database);
  if (!info.ok()) return info.status();
  auto generation = std::make_unique<Generation>(options, options.path, std::move(*database), *info);
  KV_RETURN_IF_ERROR(generation->start());
  auto auth = AuthTable::read(info->records);
  if (!auth.ok()) return auth.status();
  generation->auth = *std::move(auth);
  return generation;
}

class RocksStore final : public Store, public Batch::Listener {
 public:
  RocksStore(const StoreOptions& options, std::unique_ptr<Generation> generation)
      : options_(options), changes_(current_) {
    serve(std::move(generation));
  }

  std::unique_ptr<ApplyBatch> begin() override { return std::make_unique<Batch>(applying_->context, *this); }

  uint64_t applied_index() const override { return applied_index_.load(std::memory_order_acquire); }
  uint64_t applied_term() const override { return applied_term_.load(std::memory_order_acquire); }

  uint64_t durable_index() const override {
    // All column families flush atomically, so what the files of one say holds for all.
    std::string bytes;
    Applied applied;
    const Result<bool> found = current_.get()->database->get_meta(kMetaApplied, &bytes, true);
    if (!found.ok() || !*found || !decode_applied(bytes, &applied)) return 0;
    return applied.index;
  }

  Revision revision() const override { return Revision(revision_.load(std::memory_order_acquire)); }

  StoreStats stats() const override {
    const auto now = current_.get();
    const Database& database = *now->database;
    StoreStats stats;
    stats.revision = now->published.revision.load(std::memory_order_acquire);
    stats.compact_revision = now->published.compact_revision.load(std::memory_order_acquire);
    stats.keys = static_cast<uint64_t>(now->counts.total());
    for (auto* family :
         {database.head(), database.history(), database.meta(), database.lease(), database.waypoints()}) {
      uint64_t n = 0;
      if (database->GetIntProperty(family, "rocksdb.total-sst-files-size", &n)) stats.bytes_on_disk += n;
      if (database->GetIntProperty(family, "rocksdb.estimate-live-data-size", &n)) stats.bytes_in_use += n;
    }
    stats.bytes_in_memory = database.unflushed_bytes();
    stats.bytes_on_disk += stats.bytes_in_memory;
    stats.bytes_in_use = std::min(stats.bytes_in_use + stats.bytes_in_memory, stats.bytes_on_disk);
    return stats;
  }

  Status range(const etcdserverpb::RangeRequest& request, etcdserverpb::RangeResponse* response) const override {
    store_metrics().ranges.add();
    const auto now = current_.get();
    if (request.range_end().empty() && request.revision() <= 0) {
      for (int i = 0; i < kReadsWithoutSnapshot; ++i) {
        CommittedView view = now->view(false);
        Status status = answer_range(view, view.current(), view.compact_revision(), request, response);
        if (status.code() != Code::kAborted) return status;
      }
    }
    CommittedView view = now->view(true);
    return answer_range(view, view.current(), view.compact_revision(), request, response);
  }

  Result<std::unique_ptr<RangeCursor>> open_range(const etcdserverpb::RangeRequest& request) const override {
    store_metrics().ranges.add();
    auto now = current_.get();
    auto cursor = make_range_cursor(std::unique_ptr<CommittedView>(new CommittedView(now->view(true))), request);
    if (!cursor.ok()) return cursor.status();
    return std::unique_ptr<RangeCursor>(std::make_unique<PinnedCursor>(std::move(now), *std::move(cursor)));
  }

  Status txn(const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response) const override {
    KV_CHECK(is_read_only(request), "what changes the state goes through a batch");
    const auto now = current_.get();
    CommittedView view = now->view(true);
    ReadOnlyTxn state(view);
    const Status status = run_txn(state, request, response);
    OperationCounts counted;
    counted.add(state.counts());
    counted.publish();
    return status;
  }

  Status node(const kvdpb::NodeRequest& request, kvdpb::NodeResponse* response) const override {
    const auto now = current_.get();
    CommittedView view = now->view(true);
    CommittedNodes nodes(*now->database, view);
    KV_RETURN_IF_ERROR(read_node(nodes, request, response));
    node_counts_.add(NodeOperation::kGet, response->error_code() == 0);
    response->mutable_header()->set_revision(view.current());
    return {};
  }

  NodeAction node_action(int64_t revision) const override { return node_actions_.at(revision); }

  const NodeCounts& node_counts() const override { return node_counts_; }

  Result<HashResult> hash_kv(int64_t revision, const HashPace& pace) const override {
    const auto now = current_.get();
    CommittedView view = now->view(true);
    return hash_key_space(*now->database, view, revision, pace);
  }

  std::vector<Lease> leases() const override { return current_.get()->leases.all(); }
  std::optional<Lease> lease(int64_t id) const override { return current_.get()->leases.find(id); }
  Result<std::vector<std::string>> lease_keys(int64_t id) const override {
    return read_lease_keys(*current_.get()->database, id);
  }

  bool auth_enabled() const override { return auth_.enabled(); }
  std::shared_ptr<const AuthState> auth() const override { return auth_.state(); }

  std::optional<std::string> record(std::string_view name) const override {
    std::string value;
    const Result<bool> found = current_.get()->database->get_meta(std::string(kMetaRecordPrefix).append(name), &value);
    // What can't be read must not pass for absent: a member list would be begun anew over the one that is there.
    KV_CHECK(found.ok(), "state: record " + std::string(name) + ": " + found.status().to_string());
    if (!*found) return std::nullopt;
    return value;
  }

  std::vector<std::pair<std::string, std::string>> records(std::string_view prefix) const override {
    auto records = current_.get()->database->records(prefix);
    KV_CHECK(records.ok(), "state: records " + std::string(prefix) + ": " + records.status().to_string());
    return std::move(*records);
  }

  const ChangeSource& changes() const override { return changes_; }
  void set_commit_listener(CommitListener* listener) override { listener_ = listener; }

  void wait_compacted(int64_t revision, std::function<void(Status)> done) override {
    // Refused by one that is being replaced: then there is another.
    while (!current_.get()->housekeeper.wait_compacted(revision, done)) {
    }
  }

  Status flush() override { return current_.get()->database->flush(); }
  Status defragment(std::atomic<bool>& cancel) override { return current_.get()->database->defragment(cancel); }
  Result<StateInfo> checkpoint(const std::string& path) override {
    return make_checkpoint(*current_.get()->database, path);
  }

  Result<std::unique_ptr<NextState>> open_next(const std::string& path) const override {
    StoreOptions options = options_;
    options.path = path;
    options.create_if_missing = false;
    auto generation = open_generation(options);
    if (!generation.ok()) return generation.status();
    return std::unique_ptr<NextState>(std::make_unique<OpenedState>(*std::move(generation)));
  }

  void install(std::unique_ptr<NextState> next) override {
    auto* opened = dynamic_cast<OpenedState*>(next.get());
    KV_CHECK(opened != nullptr && opened->info().applied_index >= applied_index(), "a state never goes back");
    const std::shared_ptr<Generation> before = serve(std::move(opened->generation));
    if (listener_ != nullptr) listener_->committed();
    before->replaced = true;
    for (auto& [revision, done] : before->housekeeper.stop()) wait_compacted(revision, std::move(done));
  }

 private:
  // Batch::Listener.
  void rights_changed() override {
    if (listener_ != nullptr) listener_->rights_changed();
  }
  Status write(rocksdb::WriteBatch* batch, const BatchChanges& changes) override {
    HeadGuard& guard = applying_->guard;
    const std::lock_guard lock(guard.mutex());
    if (guard.watching()) {
      for (size_t i = 0; i < changes.size(); ++i) guard.strike_out(changes.at(i).key);
    }
    const auto begin = std::chrono::steady_clock::now();
    const Status status = applying_->database->write(batch);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    store_metrics().commit_seconds.observe(took.count());
    return status;
  }
  void committed(const Applied& applied, int64_t compact_revision, size_t changes, bool counts_have_work) override {
    CommittedView::Published& published = applying_->published;
    const bool compacted = compact_revision != published.compact_revision.load(std::memory_order_relaxed);
    published.compact_revision.store(compact_revision, std::memory_order_release);
    published.revision.store(applied.revision, std::memory_order_release);
    publish(applied);
    if (listener_ != nullptr) listener_->committed();
    applying_->housekeeper.committed(changes, counts_have_work);
    if (compacted) applying_->housekeeper.compact_to(compact_revision);
  }

  void publish(const Applied& applied) {
    revision_.store(applied.revision, std::memory_order_release);
    applied_term_.store(applied.term, std::memory_order_release);
    applied_index_.store(applied.index, std::memory_order_release);
  }

  // The generation that was served before.
  std::shared_ptr<Generation> serve(std::unique_ptr<Generation> generation) {
    applying_ = generation.get();
    applying_->context.auth = &auth_;
    applying_->context.node_actions = &node_actions_;
    applying_->context.node_counts = &node_counts_;
    const StateInfo& info = applying_->info;
    // Rights go before data here as well (Batch::commit).
    auth_.publish(std::move(generation->auth));
    rights_changed();
    std::shared_ptr<Generation> before = current_.exchange(reaper_.own(std::move(generation)));
    publish({info.applied_index, info.applied_term, info.revision});
    return before;
  }

  const StoreOptions options_;
  GenerationReaper reaper_;
  CurrentGeneration current_;
  AuthTable auth_;
  NodeActions node_actions_;
  mutable NodeCounts node_counts_;
  Generation* applying_ = nullptr;  // current_'s, for the thread that applies: it alone replaces it
  const ChangeSource changes_;
  CommitListener* listener_ = nullptr;
  std::atomic<int64_t> revision_{1};
  std::atomic<uint64_t> applied_index_{0};
  std::atomic<uint64_t> applied_term_{0};
};

}  // namespace

Result<std::unique_ptr<Store>> Store::open(const StoreOptions& options) {
  auto generation = open_generation(options);
  if (!generation.ok()) return generation.status();
  return std::unique_ptr<Store>(std::make_unique<RocksStore>(options, *std::move(generation)));
}

}  // namespace kv::store
