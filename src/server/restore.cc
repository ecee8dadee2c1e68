#include "server/restore.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/files.h"
#include "raft/log_store.h"
#include "server/alarms.h"
#include "server/first_members.h"
#include "server/membership.h"
#include "store/backup_file.h"
#include "store/rewrite.h"
#include "store/store.h"

namespace kv::server {
namespace {

namespace fs = std::filesystem;

// Locked while a restore is at work, and the last thing to go before the directory gets its name.
constexpr std::string_view kMarker = "RESTORING";

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string unfinished(const std::string& data_dir) { return without_slashes(data_dir) + ".restoring"; }

bool missing_or_empty(const std::string& path) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(path, error))) return true;
  return fs::is_directory(path, error) && fs::is_empty(path, error) && !error;
}

Status system_error(const std::string& path) {
  return {errno == ENOSPC || errno == EDQUOT ? Code::kResourceExhausted : Code::kInternal,
          path + ": " + std::strerror(errno)};
}

// The directory in which the new one is put together; gone with this object unless it got its name.
class Workplace {
 public:
  explicit Workplace(const std::string& data_dir) : target_(without_slashes(data_dir)), path_(unfinished(data_dir)) {}
  ~Workplace() {
    if (lock_ >= 0) {
      std::error_code ignored;
      if (!finished_) fs::remove_all(path_, ignored);
      ::close(lock_);
    }
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  const std::string& path() const { return path_; }

  // Takes the place; what an earlier restore left there goes.
  Status open() {
    std::error_code error;
    const fs::path parent = fs::path(target_).parent_path();
    if (!parent.empty()) fs::create_directories(parent, error);
    if (error) return {Code::kInternal, parent.string() + ": " + error.message()};
    if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) return system_error(path_);
    const std::string marker = path_ + "/" + std::string(kMarker);
    const int lock = ::open(marker.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0) return system_error(marker);
    if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
      ::close(lock);
      return {Code::kFailedPrecondition, "another restore into " + target_ + " is at work"};
    }
    lock_ = lock;
    for (fs::directory_iterator it(path_, error), end; !error && it != end; it.increment(error))
      if (it->path().filename() != kMarker) fs::remove_all(it->path(), error);
    if (error) return {Code::kInternal, path_ + ": " + error.message()};
    return {};
  }

  Status finish() {
    KV_RETURN_IF_ERROR(sync_tree(path_));
    const std::string marker = path_ + "/" + std::string(kMarker);
    if (::unlink(marker.c_str()) != 0) return system_error(marker);
    KV_RETURN_IF_ERROR(sync_path(path_));
    KV_RETURN_IF_ERROR(rename_durably(path_, target_));
    finished_ = true;
    return {};
  }

 private:
  const std::string target_;
  const std::string path_;
  int lock_ = -1;
  bool finished_ = false;
};

// What the state says of the old cluster, by the beginnings of the records' names. Users, roles and the cluster's
// version stay.
std::vector<std::string> records_of_the_old_cluster() {
  return {std::string(kMemberPrefix), std::string(kConfigurationRecord), std::string(kRemovedPrefix),
          std::string(kAlarmPrefix), std::string(kDowngradeRecord)};
}

// A log that begins behind the restored state, and knows who this member is.
Status make_log(const std::string& path, const kvdpb::Bootstrap& bootstrap, const raft::SnapshotMeta& begins_after) {
  raft::LogStore::Options options;
  options.path = path;
  options.memtable_bytes = 1 << 20;
  options.prepare_files = false;
  auto log = raft::LogStore::open(options);
  if (!log.ok()) return log.status();
  KV_RETURN_IF_ERROR(write_identity(**log, bootstrap));
  KV_RETURN_IF_ERROR((*log)->truncate_prefix(begins_after));
  raft::HardState hard_state;
  hard_state.term = begins_after.term;
  hard_state.commit = begins_after.index;
  return (*log)->write(hard_state, {}, true);
}

Status check(const RestoreOptions& options) {
  if (options.bump_revision < 0) return {Code::kInvalidArgument, "--bump-revision can't be negative"};
  if ((options.bump_revision > 0) != options.mark_compacted)
    return {Code::kInvalidArgument, "--mark-compacted required if --revision-bump > 0"};
  if (options.data_dir.empty()) return {Code::kInvalidArgument, "--data-dir is empty"};
  return {};
}

}  // namespace

Result<Restored> restore(const RestoreOptions& options) {
  KV_RETURN_IF_ERROR(check(options));
  MemberOptions member;
  member.name = options.name;
  member.initial_advertise_peer_urls = options.initial_advertise_peer_urls;
  member.initial_cluster = options.initial_cluster;
  member.initial_cluster_token = options.initial_cluster_token;
  const auto bootstrap = first_members(member);
  if (!bootstrap.ok()) return bootstrap.status();
  if (!missing_or_empty(options.data_dir)) {
    return Status(Code::kFailedPrecondition, "data-dir \"" + options.data_dir + "\" not empty or could not be read");
  }

  auto backup = store::BackupFile::open(options.backup);
  if (!backup.ok()) return backup.status();
  // All of it is looked at before anything is written.
  KV_RETURN_IF_ERROR((*backup)->verify(!options.skip_hash_check));

  Workplace place(options.data_dir);
  KV_RETURN_IF_ERROR(place.open());
  const std::string state = place.path() + "/state";
  if (::mkdir(state.c_str(), 0700) != 0) return system_error(state);
  KV_RETURN_IF_ERROR((*backup)->extract(state));

  // The checksums say that the file is as it was written, not that who wrote it was sane.
  const store::BackupInfo& info = (*backup)->info();
  const auto found = store::Store::inspect(state);
  if (!found.ok()) return found.status();
  if (found->applied_index != info.applied_index || found->applied_term != info.applied_term ||
      found->revision != info.revision) {
    return Status(Code::kDataLoss,
                  options.backup + ": its header says applied index " + std::to_string(info.applied_index) +
                      " and revision " + std::to_string(info.revision) + ", the state within " +
                      std::to_string(found->applied_index) + " and " + std::to_string(found->revision));
  }

  // One index and one term further than the old cluster's: what is restored is another state than that one had there,
  // and nothing that a member of the old cluster still has can be taken for a part of it.
  raft::SnapshotMeta meta;
  meta.index = raft::Index(info.applied_index + 1);
  meta.term = raft::Term(info.applied_term + 1);
  store::Rewrite change;
  change.applied_index = meta.index.value();
  change.applied_term = meta.term.value();
  change.bump_revision = options.bump_revision;
  change.drop_prefixes = records_of_the_old_cluster();
  const auto first = first_records(*bootstrap);
  meta.configuration = first.configuration;
  change.put_records = first.records;
  const auto revision = store::rewrite(state, change);
  if (!revision.ok()) return revision.status();
  KV_RETURN_IF_ERROR(make_log(place.path() + "/log", *bootstrap, meta));
  KV_RETURN_IF_ERROR(place.finish());
  return Restored{.cluster_id = bootstrap->cluster_id(),
                  .member_id = bootstrap->member_id(),
                  .revision = *revision,
                  .applied_index = meta.index.value()};
}

Status check_no_restore(const std::string& data_dir) {
  std::error_code error;
  const std::string path = unfinished(data_dir);
  if (!fs::exists(path, error) || !missing_or_empty(data_dir)) return {};
  return {Code::kFailedPrecondition, path + " shows that a restore into " + data_dir +
                                         " was begun and not finished. Run 'kvctl snapshot restore' again, or remove " +
                                         path + " to begin without the backup"};
}

}  // namespace kv::server
