#include "server/bootstrap.h"

#include "server/first_members.h"
#include "server/join.h"
#include "server/membership.h"

namespace kv::server {
namespace {

constexpr int64_t kJoinPatienceMs = 5000;

}  // namespace

Result<kvdpb::Bootstrap> identify(raft::LogStore& log, const MemberOptions& options) {
  const auto known = log.get_meta(kBootstrapName);
  if (!known.ok()) return known.status();
  if (*known) {
    kvdpb::Bootstrap bootstrap;
    if (!bootstrap.ParseFromString(**known))
      return Status(Code::kDataLoss, "the record of this member's identity in its log is damaged");
    return bootstrap;
  }
  if (log.last_index()) {
    return Status(Code::kDataLoss, "the log has entries but no record of this member's identity");
  }
  if (options.force_new_cluster) {
    return Status(Code::kInvalidArgument,
                  "--force-new-cluster needs a member's data, and " + options.data_dir + " has none");
  }
  auto bootstrap =
      options.must_exist ? join_cluster(options, options.peer_tls, kJoinPatienceMs) : first_members(options);
  if (!bootstrap.ok()) return bootstrap.status();
  KV_RETURN_IF_ERROR(write_identity(log, *bootstrap));
  return bootstrap;
}

Result<raft::Configuration> prepare_state(store::Store& store, const raft::LogStore& log,
                                          const kvdpb::Bootstrap& bootstrap) {
  const raft::Index applied(store.applied_index());
  if (applied > log.last_index()) {
    return Status(Code::kDataLoss, "the state has applied index " + to_string(applied) + " but the log ends at " +
                                       to_string(log.last_index()) +
                                       ": entries that this member acknowledged are gone. Remove the member from "
                                       "the cluster, delete its data directory, and add it again");
  }
  if (const auto bytes = store.record(kConfigurationRecord)) {
    auto configuration = decode_configuration(*bytes);
    if (!configuration) return Status(Code::kDataLoss, "the record of the cluster's configuration is damaged");
    return *configuration;
  }
  // Who joins has no configuration before it has the cluster's state (raft/core/core.h, InitialState).
  if (bootstrap.members().empty()) return raft::Configuration();
  const FirstRecords first = first_records(bootstrap);
  const auto batch = store.begin();
  for (const auto& [name, value] : first.records) batch->put_record(name, value);
  KV_RETURN_IF_ERROR(batch->commit(0, 0));
  return first.configuration;
}

}  // namespace kv::server
