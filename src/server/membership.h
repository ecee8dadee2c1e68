// The member list as the store's records hold it, and raft's configuration beside it. Written by the applier,
// read by whoever asks.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "etcdserverpb/rpc.pb.h"
#include "raft/types.h"
#include "store/store.h"

namespace kv::server {

// Record names: "member/<16 hex digits>" holds an etcdserverpb.Member, "removed/<16 hex digits>" the last such record
// of a member that was removed and whose id must not come again, "configuration" raft's Configuration,
// "cluster_version" a string such as "3.6.0".
inline constexpr std::string_view kMemberPrefix = "member/";
inline constexpr std::string_view kRemovedPrefix = "removed/";
inline constexpr std::string_view kConfigurationRecord = "configuration";
inline constexpr std::string_view kClusterVersionRecord = "cluster_version";
// The version that a downgrade leads to; no record: there is none.
inline constexpr std::string_view kDowngradeRecord = "downgrade";
std::string member_record(uint64_t id);
std::string removed_record(uint64_t id);

// All members, by id. isLearner is set from `configuration`, raft's own word.
std::vector<etcdserverpb::Member> members(const store::Store& store);
std::set<uint64_t> removed_members(const store::Store& store);

// The members' records as one batch of commands changes them: what an earlier command of the batch wrote is seen by a
// later one, wherever batches begin and end.
class MemberRecords {
 public:
  // Both must outlive it.
  MemberRecords(const store::Store& store, store::ApplyBatch& batch) : store_(store), batch_(batch) {}

  std::optional<etcdserverpb::Member> find(uint64_t id) const;
  void put(const etcdserverpb::Member& member);
  // And remembers that it was. Nothing happens to who is no member.
  void remove(uint64_t id);
  void set_configuration(const raft::Configuration& configuration);

  bool changed() const { return changed_; }

 private:
  const store::Store& store_;
  store::ApplyBatch& batch_;
  std::map<uint64_t, std::optional<etcdserverpb::Member>> written_;
  bool changed_ = false;
};

// Bytes: count and ids of each of the four lists, eight bytes each, then auto_leave; little endian.
std::string encode(const raft::Configuration& configuration);
std::optional<raft::Configuration> decode_configuration(std::string_view bytes);

}  // namespace kv::server
