#include "store/checkpoint.h"

#include <rocksdb/utilities/checkpoint.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/files.h"
#include "store/errors.h"

namespace kv::store {

Result<StateInfo> make_checkpoint(const Database& database, const std::string& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error))
    return Status(Code::kAlreadyExists, "state: checkpoint: " + path + " exists");
  rocksdb::Checkpoint* raw = nullptr;
  const std::string what = "state: checkpoint " + path;
  KV_RETURN_IF_ERROR(from_rocksdb(rocksdb::Checkpoint::Create(database.get(), &raw), what));
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
  // Flushes first, all column families at one point (atomic_flush), because there is no WAL to copy. What is applied
  // meanwhile may or may not be in it; what was applied before the call is.
  KV_RETURN_IF_ERROR(from_rocksdb(checkpoint->CreateCheckpoint(std::filesystem::absolute(path).string(), 0), what));
  Result<StateInfo> info = [&]() -> Result<StateInfo> {
    if (::chmod(path.c_str(), 0700) != 0) return Status(Code::kInternal, what + ": " + std::strerror(errno));
    KV_RETURN_IF_ERROR(sync_tree(path));
    return Store::inspect(path);
  }();
  if (!info.ok()) std::filesystem::remove_all(path, error);
  return info;
}

Result<StateInfo> read_state_info(const Database& database) {
  StateInfo info;
  Applied applied;
  std::string bytes;
  Result<bool> found = database.get_meta(kMetaApplied, &bytes);
  if (!found.ok()) return found.status();
  if (*found && !decode_applied(bytes, &applied)) {
    return Status(Code::kDataLoss, "state: " + database->GetName() + ": meta record \"applied\" is damaged");
  }
  info.applied_index = applied.index;
  info.applied_term = applied.term;
  info.revision = applied.revision;
  found = database.get_meta(kMetaCompact, &bytes);
  if (!found.ok()) return found.status();
  if (*found && !decode_int64(bytes, &info.compact_revision)) {
    return Status(Code::kDataLoss, "state: " + database->GetName() + ": meta record \"compact\" is damaged");
  }
  auto records = database.records("");
  if (!records.ok()) return records.status();
  info.records = std::move(*records);
  return info;
}

Result<StateInfo> Store::inspect(const std::string& path) {
  const Result<std::unique_ptr<Database>> database = Database::open_for_reading(path);
  if (!database.ok()) return database.status();
  return read_state_info(**database);
}

}  // namespace kv::store
