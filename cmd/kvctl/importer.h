// Puts keys into a cluster in batches, one transaction each, and never over what it may not change.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "client/client.h"
#include "kvctl/dump.h"

namespace kv::kvctl {

struct ImportOptions {
  // For a key that is there already with another value. One that has the value is left alone in any case, so that an
  // import that was interrupted can be run again.
  enum class Existing : unsigned char { kRefuse, kOverwrite, kSkip } existing = Existing::kRefuse;
  bool dry_run = false;  // only reads; what would be refused is counted and is no error
  bool leases = false;   // keys with a lease get a new one that lives for what was left

  // Only keys with `prefix_from` are taken, and `prefix_to` stands in its place, when either is set.
  std::string prefix_from{};
  std::string prefix_to{};
  client::CallOptions call{};
};

struct ImportCounts {
  int64_t created = 0, overwritten = 0, unchanged = 0;
  int64_t skipped = 0;      // another value was there
  int64_t refused = 0;      // only in a dry run
  std::string refused_key;  // the first of those
  int64_t left_out = 0;     // without the prefix
  int64_t lease_dropped = 0;

  int64_t all() const { return created + overwritten + unchanged + skipped + refused + left_out; }
};

class Importer {
 public:
  static constexpr size_t kBatchKeys = 100;
  static constexpr size_t kBatchBytes = 512 << 10;

  // The client outlives it.
  Importer(Client& client, ImportOptions options) : client_(client), options_(std::move(options)) {}

  // AlreadyExists for a key that may not be changed: of its batch nothing is written.
  Status add(DumpEntry entry);
  // Writes what is left; must be called at the end.
  Status flush();

  const ImportCounts& counts() const { return counts_; }

 private:
  Status write(bool& changed_meanwhile);
  Result<int64_t> lease_for(const DumpEntry& entry);

  Client& client_;
  const ImportOptions options_;
  std::map<std::string, DumpEntry> batch_{};  // by the key at the destination
  size_t batch_bytes_ = 0;
  std::map<int64_t, int64_t> leases_{};  // the file's ids and ours
  ImportCounts counts_{};
};

}  // namespace kv::kvctl
