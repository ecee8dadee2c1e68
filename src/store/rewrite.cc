#include "store/rewrite.h"

#include <limits>

#include "store/database.h"
#include "store/errors.h"

namespace kv::store {

Result<int64_t> rewrite(const std::string& path, const Rewrite& change) {
  StoreOptions options;
  options.path = path;
  options.create_if_missing = false;
  options.write_buffer_bytes = 8 << 20;
  options.block_cache_bytes = 8 << 20;
  auto database = Database::open(options);
  if (!database.ok()) return database.status();

  Applied applied;
  std::string bytes;
  const Result<bool> found = (*database)->get_meta(kMetaApplied, &bytes);
  if (!found.ok()) return found.status();
  if (*found && !decode_applied(bytes, &applied))
    return Status(Code::kDataLoss, "state: " + path + ": meta record \"applied\" is damaged");
  KV_CHECK(change.applied_index >= applied.index && change.applied_term >= applied.term,
           "a rewritten state does not go back");
  KV_CHECK(change.bump_revision >= 0, "a revision is never moved back");
  // Room is left for what the new cluster will write.
  if (change.bump_revision > std::numeric_limits<int64_t>::max() / 2 - applied.revision) {
    return Status(Code::kInvalidArgument, "revision " + std::to_string(applied.revision) + " can't be raised by " +
                                              std::to_string(change.bump_revision) +
                                              ": no room for further changes would be left");
  }

  rocksdb::WriteBatch batch;
  auto* const meta = (*database)->meta();
  for (const std::string& prefix : change.drop_prefixes) {
    const std::string begin = std::string(kMetaRecordPrefix) + prefix;
    const std::unique_ptr<rocksdb::Iterator> it((**database)->NewIterator(rocksdb::ReadOptions(), meta));
    for (it->Seek(begin); it->Valid() && it->key().starts_with(begin); it->Next()) batch.Delete(meta, it->key());
    KV_RETURN_IF_ERROR(from_rocksdb(it->status(), "state: reading meta"));
  }
  for (const auto& [name, value] : change.put_records) {
    batch.Put(meta, std::string(kMetaRecordPrefix) + name, value);
  }
  applied = {change.applied_index, change.applied_term, applied.revision + change.bump_revision};
  batch.Put(meta, slice(kMetaApplied), encode_applied(applied));
  if (change.bump_revision > 0) batch.Put(meta, slice(kMetaCompact), encode_int64(applied.revision));
  KV_RETURN_IF_ERROR((*database)->write(&batch));
  KV_RETURN_IF_ERROR((*database)->flush());
  return applied.revision;
}

}  // namespace kv::store
