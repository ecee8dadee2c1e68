// The first members of a cluster: what options say of them, and how a member and a state begin with them. Apart from
// bootstrap.h, because a restore makes a new cluster without starting a member.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kvdpb/command.pb.h"
#include "raft/log_store.h"
#include "raft/types.h"
#include "server/options.h"

namespace kv::server {

// The meta record of the log that says who a member is.
inline constexpr std::string_view kBootstrapName = "bootstrap";

// The options' first members, this one among them; InvalidArgument when they contradict each other.
Result<kvdpb::Bootstrap> first_members(const MemberOptions& options);

// Writes who this member is into its log. Synced.
Status write_identity(raft::LogStore& log, const kvdpb::Bootstrap& bootstrap);

// The records with which a state begins that has no member list.
struct FirstRecords {
  raft::Configuration configuration;  // all of the members are voters
  std::vector<std::pair<std::string, std::string>> records;
};
FirstRecords first_records(const kvdpb::Bootstrap& bootstrap);

}  // namespace kv::server
