#include "server/cold_state.h"

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "raft/log_store.h"
#include "server/applier.h"
#include "server/first_members.h"
#include "server/membership.h"
#include "server/pending_calls.h"
#include "server/snapshot_files.h"

namespace kv::server {
namespace {

namespace fs = std::filesystem;

constexpr size_t kReplayBytes = 1 << 20;

store::StoreOptions store_options(const std::string& path) {
  store::StoreOptions options;
  options.path = path;
  options.create_if_missing = false;
  options.block_cache_bytes = 64 << 20;
  return options;
}

Status failed(const std::string& path, const std::error_code& error) {
  return {Code::kInternal, path + ": " + error.message()};
}

// Tables never change; the rest is small and is copied. RocksDB's lock, its log for people and write-ahead logs, of
// which the state has none, stay behind.
enum class Share : uint8_t { kLink, kCopy, kLeave };
Share how_to_share(const fs::path& file) {
  const std::string name = file.filename();
  if (file.extension() == ".sst") return Share::kLink;
  if (name == "LOCK" || name.starts_with("LOG") || file.extension() == ".log") return Share::kLeave;
  return Share::kCopy;
}

// Removed with everything in it when this goes.
class Unpacked {
 public:
  explicit Unpacked(std::string path) : path_(std::move(path)) {}
  ~Unpacked() {
    std::error_code ignored;
    if (made_) fs::remove_all(path_, ignored);
  }
  Unpacked(const Unpacked&) = delete;
  Unpacked& operator=(const Unpacked&) = delete;

  Status make() {
    std::error_code error;
    made_ = fs::create_directory(path_, error);
    if (error) return failed(path_, error);
    if (!made_) return {Code::kFailedPrecondition, path_ + " is there already: remove it first"};
    return {};
  }

 private:
  const std::string path_;
  bool made_ = false;
};

}  // namespace

Result<std::unique_ptr<ColdState>> ColdState::open(const std::string& data_dir) {
  std::error_code error;
  const std::string state = current_state(data_dir);
  const std::string log_path = data_dir + "/log";
  if (!fs::is_directory(state, error) || !fs::is_directory(log_path, error))
    return Status(Code::kNotFound, data_dir + " is not the data directory of a member of kvd");

  std::unique_ptr<ColdState> cold(new ColdState());
  raft::LogStore::Options log_options;
  log_options.path = log_path;
  log_options.create_if_missing = false;
  log_options.prepare_files = false;
  auto log = raft::LogStore::open(log_options);
  if (!log.ok()) return log.status();
  cold->log_ = *std::move(log);
  const auto identity = cold->log_->get_meta(kBootstrapName);
  if (!identity.ok()) return identity.status();
  kvdpb::Bootstrap bootstrap;
  if (!*identity || !bootstrap.ParseFromString(**identity))
    return Status(Code::kDataLoss, "the record of this member's identity in its log is missing or damaged");
  cold->cluster_id_ = bootstrap.cluster_id();
  cold->member_id_ = bootstrap.member_id();

  // Where a running member puts its checkpoints; it removes what a crash leaves here.
  cold->workplace_ = data_dir + "/backup";
  fs::remove_all(cold->workplace_, error);
  const std::string copy = cold->workplace_ + "/state";
  KV_RETURN_IF_ERROR(cold->copy_state(state, copy));
  auto opened = store::Store::open(store_options(copy));
  if (!opened.ok()) return opened.status();
  cold->state_ = *std::move(opened);
  KV_RETURN_IF_ERROR(cold->replay(bootstrap.members_size() == 1));
  return cold;
}

ColdState::~ColdState() {
  state_.reset();
  std::error_code ignored;
  if (!workplace_.empty()) fs::remove_all(workplace_, ignored);
}

Status ColdState::copy_state(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::create_directories(to, error);
  if (!error) fs::permissions(workplace_, fs::perms::owner_all, error);
  if (error) return failed(to, error);
  for (fs::directory_iterator it(from, error), end; !error && it != end; it.increment(error)) {
    const fs::path target = fs::path(to) / it->path().filename();
    const Share share = how_to_share(it->path());
    if (share == Share::kLink) fs::create_hard_link(it->path(), target, error);
    if (share == Share::kCopy) fs::copy_file(it->path(), target, error);
    if (error) return failed(target.string(), error);
  }
  if (error) return failed(from, error);
  return {};
}

Status ColdState::replay(bool began_alone) {
  // What a lone member's log holds is committed: it is its own quorum. Of several members one can't know by itself
  // beyond what it has been told.
  bool alone = began_alone;
  if (const auto bytes = state_->record(kConfigurationRecord)) {
    const auto configuration = decode_configuration(*bytes);
    if (!configuration) return {Code::kDataLoss, "the record of the cluster's configuration is damaged"};
    alone = configuration->voters.size() == 1 && !configuration->joint();
  }
  const raft::Index committed = alone ? log_->last_index() : std::min(log_->hard_state().commit, log_->last_index());
  PendingCalls nobody(1, 1, 0);
  std::atomic<uint64_t> term{0};
  Applier applier(*state_, nobody, 0, cluster_id_, term);
  for (raft::Index next(state_->applied_index() + 1); next <= committed;) {
    std::vector<CommittedEntry> entries;
    // Changes of members are passed over: nobody takes part in a state that is only read, and a restore begins a list
    // of its own.
    for (raft::Entry& entry : log_->entries(next, committed + 1, kReplayBytes))
      entries.push_back({std::move(entry), {}});
    if (entries.empty()) return {Code::kDataLoss, "the log has no entry " + to_string(next)};
    next = entries.back().entry.index + 1;
    KV_RETURN_IF_ERROR(applier.apply(entries));
  }
  return {};
}

Result<store::HashResult> hash_offline(const std::string& path, int64_t revision) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    auto cold = ColdState::open(path);
    if (!cold.ok()) return cold.status();
    return (*cold)->state().hash_kv(revision);
  }
  auto file = store::BackupFile::open(path);
  if (!file.ok()) return file.status();
  const std::string directory = path + ".unpacked";
  Unpacked unpacked(directory);
  KV_RETURN_IF_ERROR(unpacked.make());
  KV_RETURN_IF_ERROR((*file)->extract(directory));
  auto state = store::Store::open(store_options(directory));
  if (!state.ok()) return state.status();
  return (*state)->hash_kv(revision);
}

Status defragment_offline(const std::string& data_dir) {
  std::error_code error;
  const std::string state = current_state(data_dir);
  if (!fs::is_directory(state, error))
    return {Code::kNotFound, data_dir + " is not the data directory of a member of kvd"};
  auto opened = store::Store::open(store_options(state));
  if (!opened.ok()) return opened.status();
  std::atomic<bool> never{false};
  return (*opened)->defragment(never);
}

}  // namespace kv::server
