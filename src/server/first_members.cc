#include "server/first_members.h"

#include <algorithm>

#include "server/identity.h"
#include "server/membership.h"

namespace kv::server {
namespace {

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

Status write_identity(raft::LogStore& log, const kvdpb::Bootstrap& bootstrap) {
  return log.put_meta(kBootstrapName, bootstrap.SerializeAsString());
}

FirstRecords first_records(const kvdpb::Bootstrap& bootstrap) {
  FirstRecords first;
  for (const etcdserverpb::Member& member : bootstrap.members()) {
    first.configuration.voters.emplace_back(member.id());
    first.records.emplace_back(member_record(member.id()), member.SerializeAsString());
  }
  std::sort(first.configuration.voters.begin(), first.configuration.voters.end());
  first.records.emplace_back(kConfigurationRecord, encode(first.configuration));
  return first;
}

}  // namespace kv::server
