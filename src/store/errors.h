// The texts that clients compare, which are etcd's to the letter, and what RocksDB's answers mean for us.
#pragma once

#include <rocksdb/status.h>

#include <string_view>

#include "base/status.h"

namespace kv::store {

inline Status compacted_error() {
  return {Code::kOutOfRange, "etcdserver: mvcc: required revision has been compacted"};
}
inline Status future_revision_error() {
  return {Code::kOutOfRange, "etcdserver: mvcc: required revision is a future revision"};
}
inline Status key_not_found_error() { return {Code::kInvalidArgument, "etcdserver: key not found"}; }
inline Status lease_not_found_error() { return {Code::kNotFound, "etcdserver: requested lease not found"}; }
inline Status lease_exists_error() { return {Code::kFailedPrecondition, "etcdserver: lease already exists"}; }
inline Status lease_ttl_too_large_error() { return {Code::kOutOfRange, "etcdserver: too large lease TTL"}; }

// `what` names the place: "state: reading head". Damage is DataLoss, a full disk ResourceExhausted, everything else
// Internal.
inline Status from_rocksdb(const rocksdb::Status& s, std::string_view what) {
  if (s.ok()) return {};
  const Code code = s.IsCorruption() ? Code::kDataLoss : s.IsNoSpace() ? Code::kResourceExhausted : Code::kInternal;
  return {code, std::string(what) + ": " + s.ToString()};
}

}  // namespace kv::store
