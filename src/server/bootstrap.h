// How a member finds out who it is: from its data directory, or, when that is new, from its options.
#pragma once

#include "base/status.h"
#include "kvdpb/command.pb.h"
#include "raft/log_store.h"
#include "raft/types.h"
#include "server/options.h"
#include "store/store.h"

namespace kv::server {

// What the log says this member is; writes it there first when the log is new.
Result<kvdpb::Bootstrap> identify(raft::LogStore& log, const MemberOptions& options);

// Gives a new state its member list and configuration; leaves any other as it is. Checks that the state is not
// ahead of the log. Returns where raft starts.
Result<raft::Configuration> prepare_state(store::Store& store, const raft::LogStore& log,
                                          const kvdpb::Bootstrap& bootstrap);

}  // namespace kv::server
