// Leases: what the replicated state knows of them. How long one still lives is no business of the state: only the
// leader counts time, and ends a lease by a command (server/lessor.h).
//
// The column family `lease` holds a row for each lease and one for each key that hangs on one, so memory holds the
// leases and nothing of their keys. A key's record says which lease it has; the rows only turn that around.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/functional/function_ref.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "store/database.h"
#include "store/store.h"

namespace rocksdb {
class WriteBatch;
}

namespace kv::store {

// ---- rows ----

// 'l' and the id, big endian.
std::string lease_row(int64_t id);
// One row: how many leases have been granted.
std::string grants_row();
// 'k', the id, and the key.
std::string lease_key_row(int64_t id, std::string_view key);
std::string encode_lease(const Lease& lease);
// False when the bytes are no lease; the id is not among them.
[[nodiscard]] bool decode_lease(std::string_view bytes, Lease* lease);

// The keys of a lease as the database has them, in order.
Result<std::vector<std::string>> read_lease_keys(const Database& database, int64_t id);

// All leases, in memory. The thread that applies changes them, any thread asks.
class LeaseTable {
 public:
  // DataLoss when a row can't be read.
  Status load(const Database& database);

  std::optional<Lease> find(int64_t id) const;
  std::vector<Lease> all() const;  // by id
  size_t size() const;

 private:
  friend class LeaseChanges;
  mutable std::mutex mutex_;  // guards all below
  absl::flat_hash_map<int64_t, Lease> leases_;
  uint64_t grants_ = 0;
};

// What one batch makes of leases and of the keys that hang on them.
class LeaseChanges {
 public:
  // The lease that a key has after the batch, 0 for none; nullopt when the batch doesn't change the key after all.
  using LeaseNow = absl::FunctionRef<std::optional<int64_t>(std::string_view key)>;

  explicit LeaseChanges(LeaseTable& table);

  std::optional<Lease> find(int64_t id) const;
  void put(const Lease& lease) { changed_.insert_or_assign(lease.id, lease); }
  // The number of the lease that is granted now.
  uint64_t count_grant() { return ++grants_; }
  void remove(int64_t id) { changed_.insert_or_assign(id, std::nullopt); }

  // A change of `key` takes it from one lease (0: none) to another. May be undone by undoing the change: what counts
  // is what the key has in the end.
  void moved(std::string_view key, int64_t from, int64_t to);

  // Keys that may hang on the lease, in order: those of the database and those that this batch has moved there. Each
  // key's newest record says whether it does.
  Result<std::vector<std::string>> candidates(const Database& database, int64_t id) const;

  // The rows that change. Before the batch is written.
  void write(const Database& database, rocksdb::WriteBatch* batch, LeaseNow lease_now) const;
  // The database has them: now readers may see them too.
  void publish() const;

 private:
  LeaseTable& table_;
  uint64_t grants_;
  std::map<int64_t, std::optional<Lease>> changed_;
  // The lease that a key had before this batch, for each key that the batch has moved. A change that is undone leaves
  // its key here, with the right lease: it is noted when the key is moved for the first time.
  std::map<std::string, int64_t, std::less<>> before_;
  std::set<std::pair<int64_t, std::string>> attached_;
};

}  // namespace kv::store
