// What /v2/keys keeps beside the key space, as records of the store (docs/formats.md): the directories that were made,
// and which lease was granted for which node.
#pragma once

#include <absl/functional/function_ref.h>
#include <rocksdb/db.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "kvdpb/command.pb.h"
#include "store/database.h"
#include "store/encoding.h"
#include "store/node_tree.h"

namespace kv::store {

inline NodeFile node_file(const Record& record) {
  return {std::string(record.value), record.create_revision, record.mod.main, record.lease};
}

// The committed records, and on top of them the changes of one batch. One thread at a time.
class NodeRecords {
 public:
  // By name, without the store's own prefix; nullopt: to be deleted.
  using Changed = std::map<std::string, std::optional<std::string>>;

  // As of `snapshot`, or, with nullptr, as they are when asked. Both arguments must outlive it.
  NodeRecords(const Database& database, const rocksdb::Snapshot* snapshot) : database_(database), snapshot_(snapshot) {}

  Result<std::optional<kvdpb::NodeDirectory>> directory(const std::string& path) const;
  // Those with begin <= path < end, by path.
  Status directories(const std::string& begin, const std::string& end, NodeReader::VisitDirectory visit) const;
  // The node that the lease was granted for.
  Result<std::optional<kvdpb::NodeLease>> node_of(int64_t lease) const;

  void put_directory(const std::string& path, const kvdpb::NodeDirectory& directory);
  void remove_directory(const std::string& path);
  void put_lease(int64_t lease, const kvdpb::NodeLease& node);
  void remove_lease(int64_t lease);

  const Changed& changed() const { return changed_; }

 private:
  Result<std::optional<std::string>> get(const std::string& name) const;

  const Database& database_;
  const rocksdb::Snapshot* const snapshot_;
  Changed changed_;
};

}  // namespace kv::store
