#include "store/hash.h"

#include "base/checksum.h"
#include "store/errors.h"

namespace kv::store {
namespace {

// Three kinds of things a reader can see, told apart by seed.
enum Seed : uint64_t { kBaseline = 1, kChange = 2, kPresent = 3 };

// The key's previous revision is left out: it says how to find things, not what they are.
uint64_t hash_record(Seed seed, std::string_view key, const Record& record, std::string* scratch) {
  scratch->clear();
  Record plain = record;
  plain.prev = Rev();
  put_varint(scratch, key.size());
  scratch->append(key);
  encode_record(plain, scratch);
  return checksum(*scratch, seed);
}

// Sums the records' hashes up, and tells the pace of what was read.
class Summer {
 public:
  explicit Summer(const HashPace& pace) : pace_(pace) {}

  // False: give up.
  bool add(Seed seed, std::string_view key, const Record& record) {
    sum_ += hash_record(seed, key, record, &scratch_);
    if (!pace_) return true;
    bytes_ += scratch_.size();
    if (bytes_ < kTellEveryBytes) return true;
    given_up_ = !pace_(bytes_);
    bytes_ = 0;
    return !given_up_;
  }
  Status status() const { return given_up_ ? Status(Code::kAborted, "state: the hash was given up") : Status(); }
  uint32_t hash() const { return static_cast<uint32_t>(sum_ ^ (sum_ >> 32)); }

 private:
  static constexpr size_t kTellEveryBytes = 256 << 10;

  const HashPace& pace_;
  uint64_t sum_ = 0;
  size_t bytes_ = 0;
  bool given_up_ = false;
  std::string scratch_;
};

}  // namespace

Result<HashResult> hash_key_space(const Database& database, CommittedView& view, int64_t revision,
                                  const HashPace& pace) {
  HashResult result;
  result.revision = view.current();
  result.compact_revision = view.compact_revision();
  result.hash_revision = revision > 0 ? revision : view.current();
  if (result.hash_revision < result.compact_revision) return compacted_error();
  if (result.hash_revision > view.current()) return future_revision_error();

  std::string bytes;
  rocksdb::ReadOptions at_snapshot;
  at_snapshot.snapshot = view.snapshot();
  const rocksdb::Status found = database->Get(at_snapshot, database.meta(), slice(kMetaApplied), &bytes);
  Applied applied;
  if (!found.ok() && !found.IsNotFound()) return from_rocksdb(found, "state: reading meta");
  if (found.ok() && decode_applied(bytes, &applied)) result.applied_index = applied.index;

  Summer summer(pace);
  const std::string zero("\0", 1);
  const KeyRange all = KeyRange::of(zero, zero);
  const auto add_keys_at = [&](Seed seed, int64_t at) {
    KV_RETURN_IF_ERROR(view.scan(
        all, at, false, [&](std::string_view key, const Record& record) { return summer.add(seed, key, record); }));
    return summer.status();
  };
  // What a reader at the compact revision sees, each change since, and what a reader at the revision itself sees:
  // history is hashed as watchers read it, and head as readers do.
  if (result.compact_revision > 0) KV_RETURN_IF_ERROR(add_keys_at(kBaseline, result.compact_revision));
  KV_RETURN_IF_ERROR(scan_history(
      database, nullptr, view.snapshot(), std::max<int64_t>(result.compact_revision, 0), result.hash_revision,
      [&](const Change& change, std::string_view) { return summer.add(kChange, change.key, change.record); }));
  KV_RETURN_IF_ERROR(summer.status());
  KV_RETURN_IF_ERROR(add_keys_at(kPresent, result.hash_revision));
  result.hash = summer.hash();
  return result;
}

}  // namespace kv::store
