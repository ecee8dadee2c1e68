#include "server/force_new_cluster.h"

#include <algorithm>

#include "kvdpb/command.pb.h"
#include "raft/core/configuration.h"

namespace kv::server {
namespace {

using raft::ChangeType;
using raft::ConfigChange;
using raft::Configuration;
using raft::Entry;
using raft::EntryType;
using raft::Index;
using raft::NodeId;

constexpr size_t kChunkBytes = 4 << 20;

// The configuration that the changes in the log, from `from` on, make of `configuration`.
Result<Configuration> at_end(const raft::LogStore& log, Configuration configuration, Index from) {
  while (from <= log.last_index()) {
    const std::vector<Entry> entries = log.entries(from, log.last_index() + 1, kChunkBytes);
    for (const Entry& entry : entries) {
      from = entry.index + 1;
      if (entry.type != EntryType::kConfigChange) continue;
      const auto change = raft::decode_config_change(*entry.data);
      if (!change) {
        return Status(Code::kDataLoss, "log entry " + to_string(entry.index) + " holds no valid change of members");
      }
      // One that makes no sense changes nothing, as when it is applied.
      if (auto next = raft::changed(configuration, *change); next.ok()) configuration = std::move(*next);
    }
  }
  return configuration;
}

}  // namespace

Result<ForcedCluster> force_new_cluster(raft::LogStore& log, Configuration configuration, Index applied,
                                        const etcdserverpb::Member& self) {
  if (configuration.voters.empty())
    return Status(Code::kInvalidArgument, "--force-new-cluster needs a member's data, and this one has none yet");
  auto last = at_end(log, std::move(configuration), applied + 1);
  if (!last.ok()) return last.status();
  configuration = std::move(*last);

  raft::HardState hard = log.hard_state();
  hard.term = std::max(hard.term, log.term(log.last_index()).value_or(raft::Term(0)));
  std::vector<Entry> entries;
  const auto append = [&](const ConfigChange& change) {
    auto next = raft::changed(configuration, change);
    if (!next.ok()) return next.status();
    configuration = std::move(*next);
    entries.push_back({.index = log.last_index() + entries.size() + 1,
                       .term = hard.term,
                       .type = EntryType::kConfigChange,
                       .data = std::make_shared<const std::string>(encode(change))});
    return Status();
  };

  const NodeId id(self.id());
  if (configuration.joint()) KV_RETURN_IF_ERROR(append({.changes = {}, .leave_joint = true, .context = {}}));
  if (!raft::is_voter(configuration, id)) {
    kvdpb::MemberChange context;
    if (!raft::is_member(configuration, id)) *context.mutable_member() = self;
    KV_RETURN_IF_ERROR(append({.changes = {{ChangeType::kAddVoter, id}}, .context = context.SerializeAsString()}));
  }
  ForcedCluster forced;
  for (const NodeId other : raft::members(configuration)) {
    if (other == id) continue;
    forced.leave.push_back(other.value());
    KV_RETURN_IF_ERROR(append({.changes = {{ChangeType::kRemove, other}}, .context = {}}));
  }
  forced.last = log.last_index() + entries.size();
  if (entries.empty()) return forced;
  hard.commit = forced.last;
  KV_RETURN_IF_ERROR(log.write(hard, entries, /*sync=*/true));
  return forced;
}

}  // namespace kv::server
