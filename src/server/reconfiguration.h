// Whether a change of members may be: etcd's checks, with etcd's errors and in etcd's order, from what the leader
// knows. Pure: the same view gives the same verdict.
//
// Two kinds of checks, as in etcd. The strict ones (--strict-reconfig-check) keep a change from costing the quorum: of
// those who take part afterwards, enough must have started, and enough must be reachable now. The others keep the list
// sound: ids, URLs, the number of learners. etcd looks at the latter when the change is applied; here the leader lets
// one change at a time through, each after all before it is applied, so that it can look before it proposes.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "etcdserverpb/rpc.pb.h"

namespace kv::server {

struct ReconfigurationRules {
  bool strict = true;       // --strict-reconfig-check
  size_t max_learners = 1;  // --max-learners
};

// What a leader knows when it decides.
struct ClusterView {
  std::vector<etcdserverpb::Member> members;  // islearner is right
  std::set<uint64_t> removed;                 // ids that must not come again
  uint64_t self = 0;                          // the leader's own
  // Who answered lately and whose stream stands; the leader need not be among them. etcd asks for five seconds of a
  // standing connection, which says less of a member that hangs and makes a healthy cluster wait.
  std::set<uint64_t> reachable;
  uint64_t last_index = 0;             // of the leader's log
  std::map<uint64_t, uint64_t> match;  // how far each other member's log is known to agree

  const etcdserverpb::Member* find(uint64_t id) const;
};

// InvalidArgument "given member URLs are invalid" unless there are some, each http(s)://HOST:PORT and nothing behind
// it.
Status check_peer_urls(const std::vector<std::string>& urls);

// Ok, or what a client is told. URLs are checked before (check_peer_urls).
//
// A voter may be added to a lone member though it then waits for the new one: there is no other way to grow but by a
// learner. Everything else that is accepted leaves a quorum of reachable members.
Status check_add(const ClusterView& view, const ReconfigurationRules& rules,
                 const etcdserverpb::MemberAddRequest& request);
Status check_remove(const ClusterView& view, const ReconfigurationRules& rules, uint64_t id);
// etcd promotes a learner that is away as long as it was in sync; strict, here, it must be reachable where it would be
// needed for a quorum.
Status check_promote(const ClusterView& view, const ReconfigurationRules& rules, uint64_t id);
Status check_update(const ClusterView& view, uint64_t id, const std::vector<std::string>& peer_urls);

// An id as etcd computes it, from the sorted URLs and the time; a later second's when that one is or was somebody's.
uint64_t new_member_id(const ClusterView& view, const std::vector<std::string>& peer_urls, int64_t unix_s);

}  // namespace kv::server
