// How a new member finds its place in a cluster that runs (--initial-cluster-state=existing): it asks those whom
// --initial-cluster names who takes part, and takes the id that the cluster gave to its URLs when it was added.
#pragma once

#include "base/status.h"
#include "kvdpb/command.pb.h"
#include "server/options.h"
#include "server/peer_http.h"

namespace kv::server {

// What `options` make of the cluster, checked as etcd checks it: --initial-cluster must list the peer URLs of every
// member and of nobody else. InvalidArgument says what does not fit and what to do.
//
// Stricter than etcd: a member that has already begun (it has told its name) is refused, because who begins again under
// its id has lost what it promised (Protocol-aware recovery, FAST 2018).
Result<kvdpb::Bootstrap> place_in(const ClusterInfo& cluster, const MemberOptions& options);

// Asks one after the other, again and again for `patience_ms`, since one that lags does not know of the new member yet.
// `tls` is for https, and may be null.
// Unavailable when nobody answers.
Result<kvdpb::Bootstrap> join_cluster(const MemberOptions& options, const std::shared_ptr<tls::Context>& tls,
                                      int64_t patience_ms);

}  // namespace kv::server
