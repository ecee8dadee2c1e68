// What a request asks for, against what its user may. Every way into the key space comes through here: commands when
// they are applied, with the users and roles as the batch has made them by then; reads on the state that they see.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "etcdserverpb/rpc.pb.h"
#include "kvdpb/command.pb.h"
#include "store/auth_state.h"

namespace kv::store {

class Rights {
 public:
  // The keys that hang on a lease, of the same state; none when there is no such lease.
  using LeaseKeys = std::function<Result<std::vector<std::string>>(int64_t lease)>;

  // `state` and `who` must outlive it.
  Rights(const AuthState& state, const Identity& who, LeaseKeys lease_keys)
      : state_(state), who_(who), lease_keys_(std::move(lease_keys)) {}

  Status permit(const etcdserverpb::RangeRequest& request) const;
  // Of the key to write; of all keys on the lease, since whoever hangs a key on a lease could have others deleted with
  // it; and to read the key when the previous value is asked for.
  Status permit(const etcdserverpb::PutRequest& request) const;
  Status permit(const etcdserverpb::DeleteRangeRequest& request) const;
  // All compares, and all operations of both ways, in transactions within transactions as well (CVE-2026-33343):
  // whichever way is taken, its answer would tell.
  Status permit(const etcdserverpb::TxnRequest& request) const;
  // A call of /v2/keys: of the node that it names, and, in what it may reach below, of all that is there. What was
  // there before is in the answer of a write, so it must be readable too.
  Status permit(const kvdpb::NodeRequest& request) const;
  Status permit_to_list(const kvdpb::NodeRequest& request) const;
  // Who ends a lease deletes its keys, and who keeps it alive keeps them.
  Status permit_to_write_lease(int64_t lease) const;
  // Its keys are read when they are named (CVE-2023-32082).
  Status permit_to_read_lease(int64_t lease) const;
  Status permit_to_read_keys(const std::vector<std::string>& keys) const;

 private:
  Status permit_ops(const google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>& ops) const;

  const AuthState& state_;
  const Identity& who_;
  const LeaseKeys lease_keys_;
};

}  // namespace kv::store
