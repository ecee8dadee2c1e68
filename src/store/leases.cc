#include "store/leases.h"

#include <rocksdb/write_batch.h>

#include <algorithm>
#include <memory>

#include "store/errors.h"

namespace kv::store {
namespace {

constexpr char kLeaseFormat = 1;
constexpr char kLeaseKind = 'l';
constexpr char kKeyKind = 'k';
constexpr char kGrantsKind = 'g';
constexpr size_t kRowPrefix = 9;

std::string row_prefix(char kind, int64_t id) {
  std::string row(1, kind);
  for (int shift = 56; shift >= 0; shift -= 8) row += static_cast<char>(static_cast<uint64_t>(id) >> shift);
  return row;
}

}  // namespace

std::string lease_row(int64_t id) { return row_prefix(kLeaseKind, id); }
std::string grants_row() { return {kGrantsKind}; }
std::string lease_key_row(int64_t id, std::string_view key) { return row_prefix(kKeyKind, id).append(key); }

std::string encode_lease(const Lease& lease) {
  std::string out(1, kLeaseFormat);
  put_varint(&out, static_cast<uint64_t>(lease.ttl_s));
  put_varint(&out, static_cast<uint64_t>(lease.remaining_s));
  put_varint(&out, lease.grant);
  return out;
}

bool decode_lease(std::string_view bytes, Lease* lease) {
  if (bytes.empty() || bytes[0] != kLeaseFormat) return false;
  bytes.remove_prefix(1);
  uint64_t ttl, remaining;
  if (!get_varint(&bytes, &ttl) || !get_varint(&bytes, &remaining)) return false;
  if (!get_varint(&bytes, &lease->grant) || !bytes.empty()) return false;
  if (ttl > static_cast<uint64_t>(kMaxLeaseTtlS) || remaining > ttl) return false;
  lease->ttl_s = static_cast<int64_t>(ttl);
  lease->remaining_s = static_cast<int64_t>(remaining);
  return true;
}

Result<std::vector<std::string>> read_lease_keys(const Database& database, int64_t id) {
  const std::string prefix = lease_key_row(id, "");
  std::vector<std::string> keys;
  const std::unique_ptr<rocksdb::Iterator> it(database->NewIterator(rocksdb::ReadOptions(), database.lease()));
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
    keys.emplace_back(view(it->key()).substr(prefix.size()));
  }
  if (!it->status().ok()) return from_rocksdb(it->status(), "state: reading the keys of a lease");
  return keys;
}

// ---- LeaseTable ----

Status LeaseTable::load(const Database& database) {
  const std::lock_guard lock(mutex_);
  const std::unique_ptr<rocksdb::Iterator> it(database->NewIterator(rocksdb::ReadOptions(), database.lease()));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    if (view(it->key()) == grants_row()) {
      std::string_view count = view(it->value());
      if (!get_varint(&count, &grants_) || !count.empty()) {
        return {Code::kDataLoss, "state: the count of granted leases is damaged"};
      }
      it->Seek(std::string(1, kLeaseKind));
      if (!it->Valid()) break;
    }
    const std::string_view row = view(it->key());
    Lease lease;
    if (row.size() != kRowPrefix || row[0] != kLeaseKind || !decode_lease(view(it->value()), &lease)) {
      return {Code::kDataLoss, "state: a row of column family \"lease\" is damaged"};
    }
    uint64_t id = 0;
    for (const char c : row.substr(1)) id = id << 8 | static_cast<uint8_t>(c);
    lease.id = static_cast<int64_t>(id);
    leases_.emplace(lease.id, lease);
  }
  return from_rocksdb(it->status(), "state: reading leases");
}

std::optional<Lease> LeaseTable::find(int64_t id) const {
  const std::lock_guard lock(mutex_);
  const auto it = leases_.find(id);
  if (it == leases_.end()) return std::nullopt;
  return it->second;
}

std::vector<Lease> LeaseTable::all() const {
  std::vector<Lease> out;
  {
    const std::lock_guard lock(mutex_);
    out.reserve(leases_.size());
    for (const auto& [id, lease] : leases_) out.push_back(lease);
  }
  std::sort(out.begin(), out.end(), [](const Lease& a, const Lease& b) { return a.id < b.id; });
  return out;
}

size_t LeaseTable::size() const {
  const std::lock_guard lock(mutex_);
  return leases_.size();
}

// ---- LeaseChanges ----

LeaseChanges::LeaseChanges(LeaseTable& table) : table_(table) {
  const std::lock_guard lock(table_.mutex_);
  grants_ = table_.grants_;
}

std::optional<Lease> LeaseChanges::find(int64_t id) const {
  if (const auto it = changed_.find(id); it != changed_.end()) return it->second;
  return table_.find(id);
}

void LeaseChanges::moved(std::string_view key, int64_t from, int64_t to) {
  if (before_.find(key) == before_.end()) before_.emplace(key, from);
  if (to != 0) attached_.emplace(to, key);
}

Result<std::vector<std::string>> LeaseChanges::candidates(const Database& database, int64_t id) const {
  Result<std::vector<std::string>> keys = read_lease_keys(database, id);
  if (!keys.ok()) return keys;
  const size_t committed = keys->size();
  for (auto it = attached_.lower_bound({id, ""}); it != attached_.end() && it->first == id; ++it) {
    keys->push_back(it->second);
  }
  std::inplace_merge(keys->begin(), keys->begin() + static_cast<ptrdiff_t>(committed), keys->end());
  keys->erase(std::unique(keys->begin(), keys->end()), keys->end());
  return keys;
}

void LeaseChanges::write(const Database& database, rocksdb::WriteBatch* batch, LeaseNow lease_now) const {
  // Granted and ended within the batch counts too.
  if (!changed_.empty()) {
    std::string count;
    put_varint(&count, grants_);
    batch->Put(database.lease(), grants_row(), count);
  }
  for (const auto& [id, lease] : changed_) {
    if (lease) {
      batch->Put(database.lease(), lease_row(id), encode_lease(*lease));
    } else {
      batch->Delete(database.lease(), lease_row(id));
    }
  }
  for (const auto& [key, before] : before_) {
    const int64_t now = lease_now(key).value_or(before);
    if (now == before) continue;
    if (before != 0) batch->Delete(database.lease(), lease_key_row(before, key));
    if (now != 0) batch->Put(database.lease(), lease_key_row(now, key), rocksdb::Slice());
  }
}

void LeaseChanges::publish() const {
  if (changed_.empty()) return;
  const std::lock_guard lock(table_.mutex_);
  table_.grants_ = grants_;
  for (const auto& [id, lease] : changed_) {
    if (lease) {
      table_.leases_.insert_or_assign(id, *lease);
    } else {
      table_.leases_.erase(id);
    }
  }
}

}  // namespace kv::store
