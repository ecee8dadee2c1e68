// The member list as the store's records hold it, and raft's configuration beside it. Written by the applier,
// read by whoever asks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "etcdserverpb/rpc.pb.h"
#include "raft/types.h"
#include "store/store.h"

namespace kv::server {

// Record names: "member/<16 hex digits>" holds an etcdserverpb.Member, "configuration" raft's Configuration,
// "cluster_version" a string such as "3.6.0".
inline constexpr std::string_view kMemberPrefix = "member/";
inline constexpr std::string_view kConfigurationRecord = "configuration";
inline constexpr std::string_view kClusterVersionRecord = "cluster_version";
// The version that a downgrade leads to; no record: there is none.
inline constexpr std::string_view kDowngradeRecord = "downgrade";
std::string member_record(uint64_t id);

// All members, by id. isLearner is set from `configuration`, raft's own word.
std::vector<etcdserverpb::Member> members(const store::Store& store);

// Bytes: count and ids of each of the four lists, eight bytes each, then auto_leave; little endian.
std::string encode(const raft::Configuration& configuration);
std::optional<raft::Configuration> decode_configuration(std::string_view bytes);

}  // namespace kv::server
