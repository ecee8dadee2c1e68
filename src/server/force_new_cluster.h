// --force-new-cluster: a quorum is lost for good, and what one member has is to become a cluster of its own.
//
// The log is kept to its end, also what this member does not know to be committed: some of that may have been
// acknowledged, and nobody is left who could say. (etcd cuts it off.) Behind it come changes that remove everybody
// else, one by one, and all of it counts as committed. So the log tells what happened, like any other change.
//
// DANGER: what the others had and this one had not is lost. Should they still run, they must never meet this one again:
// it refuses them as removed members.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "etcdserverpb/rpc.pb.h"
#include "raft/log_store.h"
#include "raft/types.h"

namespace kv::server {

struct ForcedCluster {
  raft::Index last;             // when this is applied, the member is alone
  std::vector<uint64_t> leave;  // who is removed by it
};

// `configuration` and `applied` are the state's, `self` this member as its list shows it. Changes nothing when it is
// alone already. InvalidArgument for one that has no state to go on with.
Result<ForcedCluster> force_new_cluster(raft::LogStore& log, raft::Configuration configuration, raft::Index applied,
                                        const etcdserverpb::Member& self);

}  // namespace kv::server
