#include "server/backup_checkpoint.h"

#include <filesystem>

#include "base/clock.h"
#include "server/member.h"

namespace kv::server {
namespace {

// A compaction that passes the checkpoint before its keys are counted comes once, not three times in a row.
constexpr int kTries = 3;

Result<uint64_t> count_keys(const store::Store& state, int64_t revision) {
  etcdserverpb::RangeRequest everything;
  everything.set_key(std::string(1, '\0'));
  everything.set_range_end(std::string(1, '\0'));
  everything.set_count_only(true);
  everything.set_revision(revision);
  etcdserverpb::RangeResponse counted;
  KV_RETURN_IF_ERROR(state.range(everything, &counted));
  return static_cast<uint64_t>(counted.count());
}

}  // namespace

Result<store::BackupInfo> checkpoint_for_backup(store::Store& state, const std::string& path, uint64_t cluster_id,
                                                uint64_t member_id) {
  for (int left = kTries;; --left) {
    const auto made = state.checkpoint(path);
    if (!made.ok()) return made.status();
    const auto keys = count_keys(state, made->revision);
    if (keys.ok()) {
      return store::BackupInfo{.cluster_id = cluster_id,
                               .member_id = member_id,
                               .applied_index = made->applied_index,
                               .applied_term = made->applied_term,
                               .revision = made->revision,
                               .compact_revision = made->compact_revision,
                               .keys = *keys,
                               .created_ms = Clock::system().wall_ms(),
                               .storage_version = std::string(kClusterVersion)};
    }
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
    if (left == 1 || keys.status().code() != Code::kOutOfRange) return keys.status();
  }
}

}  // namespace kv::server
