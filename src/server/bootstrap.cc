#include "server/bootstrap.h"

#include <algorithm>

#include "server/identity.h"
#include "server/membership.h"

namespace kv::server {
namespace {

constexpr std::string_view kBootstrapName = "bootstrap";

std::string joined(const std::vector<std::string>& urls) {
  std::string out;
  for (const std::string& url : urls) out += (out.empty() ? "" : ",") + url;
  return out;
}

}  // namespace

Result<kvdpb::Bootstrap> first_members(const MemberOptions& options) {
  auto cluster = options.initial_cluster;
  if (cluster.empty()) cluster[options.name] = options.initial_advertise_peer_urls;
  const auto self = cluster.find(options.name);
  if (self == cluster.end()) {
    return Status(Code::kInvalidArgument,
                  "--initial-cluster does not contain this member's --name \"" + options.name + "\"");
  }
  auto listed = self->second;
  auto advertised = options.initial_advertise_peer_urls;
  std::sort(listed.begin(), listed.end());
  std::sort(advertised.begin(), advertised.end());
  if (listed != advertised) {
    return Status(Code::kInvalidArgument, "--initial-cluster gives \"" + options.name + "\" the peer URLs " +
                                              joined(listed) + ", but --initial-advertise-peer-urls says " +
                                              joined(advertised));
  }
  kvdpb::Bootstrap bootstrap;
  std::vector<uint64_t> ids;
  for (const auto& [name, urls] : cluster) {
    etcdserverpb::Member& member = *bootstrap.add_members();
    member.set_id(member_id(urls, options.initial_cluster_token));
    member.set_name(name);
    for (const std::string& url : urls) member.add_peerurls(url);
    ids.push_back(member.id());
    if (name == options.name) bootstrap.set_member_id(member.id());
  }
  bootstrap.set_cluster_id(cluster_id(ids));
  return bootstrap;
}

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
  if (options.must_exist) {
    return Status(Code::kInvalidArgument, "--initial-cluster-state is existing, but " + options.data_dir +
                                              " holds no member: this version can't join a running cluster");
  }
  auto bootstrap = first_members(options);
  if (!bootstrap.ok()) return bootstrap.status();
  KV_RETURN_IF_ERROR(log.put_meta(kBootstrapName, bootstrap->SerializeAsString()));
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
  raft::Configuration configuration;
  const auto batch = store.begin();
  for (const etcdserverpb::Member& member : bootstrap.members()) {
    configuration.voters.emplace_back(member.id());
    batch->put_record(member_record(member.id()), member.SerializeAsString());
  }
  std::sort(configuration.voters.begin(), configuration.voters.end());
  batch->put_record(kConfigurationRecord, encode(configuration));
  KV_RETURN_IF_ERROR(batch->commit(0, 0));
  return configuration;
}

}  // namespace kv::server
