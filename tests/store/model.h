// etcd's key space as a page of plain code: every version of every key in a map, nothing ever removed, no cleverness.
// What the store answers must be what this answers.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "etcdserverpb/rpc.pb.h"

namespace kv::store {

class Model {
 public:
  struct Version {
    int64_t main = 0;
    int64_t sub = 0;  // its place among the changes of the revision
    bool tombstone = false;
    mvccpb::KeyValue kv;
  };

  int64_t revision() const { return revision_; }
  int64_t compact_revision() const { return compact_revision_; }

  Status range(const etcdserverpb::RangeRequest& request, etcdserverpb::RangeResponse* response) const;
  Status put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response);
  Status delete_range(const etcdserverpb::DeleteRangeRequest& request, etcdserverpb::DeleteRangeResponse* response);
  Status txn(const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response);
  Status compact(const etcdserverpb::CompactionRequest& request, etcdserverpb::CompactionResponse* response);

  Status lease_grant(const etcdserverpb::LeaseGrantRequest& request, etcdserverpb::LeaseGrantResponse* response);
  Status lease_revoke(const etcdserverpb::LeaseRevokeRequest& request, etcdserverpb::LeaseRevokeResponse* response);
  Status lease_checkpoint(const etcdserverpb::LeaseCheckpointRequest& request,
                          etcdserverpb::LeaseCheckpointResponse* response);
  // By id: TTL and remaining TTL.
  const std::map<int64_t, std::pair<int64_t, int64_t>>& leases() const { return leases_; }
  std::vector<std::string> lease_keys(int64_t id) const;

  // All keys' versions, oldest first.
  const std::map<std::string, std::vector<Version>>& versions() const { return versions_; }

 private:
  // The present revision as the command that runs sees it.
  int64_t now() const { return revision_ + (changes_ > 0 ? 1 : 0); }
  std::vector<mvccpb::KeyValue> keys_at(const std::string& key, const std::string& range_end, int64_t at) const;
  bool compares_hold(const etcdserverpb::TxnRequest& request) const;
  void choose(const etcdserverpb::TxnRequest& request, std::vector<bool>* path) const;
  Status check(const etcdserverpb::TxnRequest& request, const std::vector<bool>& path, size_t* at) const;
  Status run(const etcdserverpb::TxnRequest& request, const std::vector<bool>& path, size_t* at,
             etcdserverpb::TxnResponse* response);
  Status do_put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response);
  void do_delete(const etcdserverpb::DeleteRangeRequest& request, etcdserverpb::DeleteRangeResponse* response);
  void end_command();

  std::map<std::string, std::vector<Version>> versions_;
  std::map<int64_t, std::pair<int64_t, int64_t>> leases_;
  int64_t revision_ = 1;
  int64_t compact_revision_ = -1;
  int64_t changes_ = 0;
};

}  // namespace kv::store
