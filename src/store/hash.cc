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

}  // namespace

Result<HashResult> hash_key_space(const Database& database, CommittedView& view, int64_t revision) {
  HashResult result;
  result.revision = view.current();
  result.compact_revision = view.compact_revision();
  result.hash_revision = revision > 0 ? revision : view.current();
  if (result.hash_revision < result.compact_revision) return compacted_error();
  if (result.hash_revision > view.current()) return future_revision_error();

  uint64_t sum = 0;
  std::string scratch;
  const std::string zero("\0", 1);
  const KeyRange all = KeyRange::of(zero, zero);
  const auto add_keys_at = [&](Seed seed, int64_t at) {
    return view.scan(all, at, false, [&](std::string_view key, const Record& record) {
      sum += hash_record(seed, key, record, &scratch);
      return true;
    });
  };
  // What a reader at the compact revision sees, each change since, and what a reader at the revision itself sees:
  // history is hashed as watchers read it, and head as readers do.
  if (result.compact_revision > 0) KV_RETURN_IF_ERROR(add_keys_at(kBaseline, result.compact_revision));
  KV_RETURN_IF_ERROR(scan_history(database, nullptr, view.snapshot(), std::max<int64_t>(result.compact_revision, 0),
                                  result.hash_revision, [&](const Change& change, std::string_view) {
                                    sum += hash_record(kChange, change.key, change.record, &scratch);
                                    return true;
                                  }));
  KV_RETURN_IF_ERROR(add_keys_at(kPresent, result.hash_revision));
  result.hash = static_cast<uint32_t>(sum ^ (sum >> 32));
  return result;
}

}  // namespace kv::store
