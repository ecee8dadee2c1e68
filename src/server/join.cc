#include "server/join.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/log.h"

namespace kv::server {
namespace {

using Urls = std::vector<std::string>;

constexpr int64_t kAnswerTimeoutMs = 2000;
constexpr int64_t kPauseMs = 100;

template <typename List>
Urls sorted(const List& list) {
  Urls urls(list.begin(), list.end());
  std::sort(urls.begin(), urls.end());
  return urls;
}

std::string joined(const Urls& urls) {
  std::string out;
  for (const std::string& url : urls) out += (out.empty() ? "" : ",") + url;
  return out;
}

std::string listed(const ClusterInfo& cluster) {
  std::string out;
  for (const etcdserverpb::Member& member : cluster.members) {
    for (const std::string& url : member.peerurls())
      out += (out.empty() ? "" : ",") + (member.name().empty() ? hex_id(member.id()) : member.name()) + "=" + url;
  }
  return out;
}

Status invalid(std::string text) { return {Code::kInvalidArgument, std::move(text)}; }

}  // namespace

Result<kvdpb::Bootstrap> place_in(const ClusterInfo& cluster, const MemberOptions& options) {
  const auto own = options.initial_cluster.find(options.name);
  if (own == options.initial_cluster.end())
    return invalid("--initial-cluster does not contain this member's --name \"" + options.name + "\"");
  const Urls own_urls = sorted(own->second);
  const auto self = std::find_if(cluster.members.begin(), cluster.members.end(),
                                 [&](const auto& member) { return sorted(member.peerurls()) == own_urls; });
  if (self == cluster.members.end()) {
    return invalid("cluster " + hex_id(cluster.cluster_id) + " has no member with the peer URLs " + joined(own_urls) +
                   ": add this one first with `kvctl member add " + options.name + " --peer-urls=" + joined(own_urls) +
                   "`; its members are " + listed(cluster));
  }
  if (cluster.members.size() != options.initial_cluster.size()) {
    return invalid("member count is unequal: --initial-cluster lists " +
                   std::to_string(options.initial_cluster.size()) + " members, cluster " + hex_id(cluster.cluster_id) +
                   " has " + std::to_string(cluster.members.size()) + ": " + listed(cluster));
  }
  for (const etcdserverpb::Member& member : cluster.members) {
    const Urls urls = sorted(member.peerurls());
    const bool known = std::any_of(options.initial_cluster.begin(), options.initial_cluster.end(),
                                   [&](const auto& named) { return sorted(named.second) == urls; });
    if (!known) {
      return invalid("--initial-cluster does not list the peer URLs " + joined(urls) + " of member " +
                     hex_id(member.id()) + "; the cluster's members are " + listed(cluster));
    }
  }
  if (!self->name().empty()) {
    return invalid("member " + hex_id(self->id()) + " (\"" + self->name() + "\") has taken part before, but " +
                   options.data_dir +
                   " holds no data: a member that lost its data can't come back under its id. "
                   "Remove it with `kvctl member remove " +
                   hex_id(self->id()) + "` and add it again");
  }
  kvdpb::Bootstrap bootstrap;
  bootstrap.set_cluster_id(cluster.cluster_id);
  bootstrap.set_member_id(self->id());
  return bootstrap;
}

Result<kvdpb::Bootstrap> join_cluster(const MemberOptions& options, const std::shared_ptr<tls::Context>& tls,
                                      int64_t patience_ms) {
  if (options.initial_cluster.empty())
    return invalid("--initial-cluster-state=existing needs --initial-cluster, with the peer URLs of every member");
  Urls peers;
  for (const auto& [name, urls] : options.initial_cluster)
    if (name != options.name) peers.insert(peers.end(), urls.begin(), urls.end());
  Status misfit;
  std::string silent;
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  while (true) {
    silent.clear();
    for (const std::string& url : peers) {
      const auto cluster = fetch_members(url, tls, kAnswerTimeoutMs);
      if (!cluster.ok()) {
        silent += (silent.empty() ? "" : "; ") + url + ": " + cluster.status().text();
        continue;
      }
      auto place = place_in(*cluster, options);
      if (place.ok()) return place;
      misfit = place.status();
    }
    if (std::chrono::steady_clock::now() >= until) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(kPauseMs));
  }
  if (!misfit.ok()) return misfit;
  return Status(Code::kUnavailable, "can't ask the cluster who takes part, at any peer URL of --initial-cluster: " +
                                        (silent.empty() ? "it names nobody else" : silent));
}

}  // namespace kv::server
