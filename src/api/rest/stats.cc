#include "api/rest/stats.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "api/json/http_call.h"
#include "api/json/json_writer.h"
#include "api/rest/node_json.h"
#include "base/log.h"
#include "server/call.h"

namespace kv::api {
namespace {

using server::AppendTraffic;
using server::MemberStats;
using Reply = absl::AnyInvocable<void(HttpResponse)>;

std::string number(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

// As Go writes a duration: 1h2m3.004s.
std::string duration(int64_t ms) {
  std::string text;
  if (ms >= 3'600'000) text += std::to_string(ms / 3'600'000) + "h";
  if (ms >= 60'000) text += std::to_string(ms / 60'000 % 60) + "m";
  return text + number(static_cast<double>(ms % 60'000) / 1000) + "s";
}

void append_traffic(const AppendTraffic& traffic, const std::string& way, std::string& out) {
  out += ",\"" + way + "AppendRequestCnt\":" + std::to_string(traffic.appends);
  if (traffic.appends_per_second > 0) out += ",\"" + way + "PkgRate\":" + number(traffic.appends_per_second);
  if (traffic.bytes_per_second > 0) out += ",\"" + way + "BandwidthRate\":" + number(traffic.bytes_per_second);
}

std::string self_stats(const MemberStats& stats, uint64_t id) {
  std::string out = "{\"name\":";
  append_json_string(stats.name, out);
  out += ",\"id\":\"" + hex_id(id) + "\",\"state\":\"" + (stats.leads ? "StateLeader" : "StateFollower") +
         "\",\"startTime\":\"" + utc_time(stats.started_ms) + "\",\"leaderInfo\":{\"leader\":\"" +
         (stats.leader == 0 ? "" : hex_id(stats.leader)) + "\",\"uptime\":\"" + duration(stats.leader_for_ms) +
         "\",\"startTime\":\"" + utc_time(stats.leader_since_ms) + "\"}";
  append_traffic(stats.received, "recv", out);
  append_traffic(stats.sent, "send", out);
  return out + "}";
}

// In milliseconds.
void append_latency(const raft::PeerStats& peer, std::string& out) {
  const raft::RoundTrips& trips = peer.round_trips;
  const double count = static_cast<double>(std::max<uint64_t>(trips.count, 1));
  const double average = trips.sum_seconds / count;
  const double variance = std::max(0.0, trips.sum_of_squares / count - average * average);
  char separator = '{';
  for (const auto& [name, seconds] :
       {std::pair("current", peer.round_trip_seconds), std::pair("average", average),
        std::pair("standardDeviation", std::sqrt(variance)), std::pair("minimum", trips.shortest_seconds),
        std::pair("maximum", trips.longest_seconds)}) {
    out += separator;
    separator = ',';
    out.append("\"").append(name).append("\":").append(number(seconds * 1000));
  }
  out += '}';
}

std::string leader_stats(const MemberStats& stats, uint64_t id) {
  std::string out = "{\"leader\":\"" + hex_id(id) + "\",\"followers\":{";
  for (const raft::PeerStats& peer : stats.peers) {
    if (out.back() != '{') out += ',';
    out += "\"" + hex_id(peer.id.value()) + "\":{\"latency\":";
    append_latency(peer, out);
    out += ",\"counts\":{\"fail\":" + std::to_string(peer.lost_streams + peer.dropped_messages) +
           ",\"success\":" + std::to_string(peer.round_trips.count) + "}}";
  }
  return out + "}}";
}

std::string store_stats(const store::NodeCounts& counts, int64_t waits) {
  using enum store::NodeOperation;
  std::string out = "{";
  for (const auto& [name, operation] :
       {std::pair("gets", kGet), std::pair("sets", kSet), std::pair("delete", kDelete), std::pair("update", kUpdate),
        std::pair("create", kCreate), std::pair("compareAndSwap", kCompareAndSwap),
        std::pair("compareAndDelete", kCompareAndDelete)}) {
    for (const bool done : {true, false}) {
      out.append("\"").append(name).append(done ? "Success\":" : "Fail\":");
      out += std::to_string(counts.get(operation, done)) + ",";
    }
  }
  return out + "\"expireCount\":" + std::to_string(counts.expired()) + ",\"watchers\":" + std::to_string(waits) + "}";
}

HttpResponse json(std::string body) {
  HttpResponse response;
  response.content_type = "application/json";
  response.body = std::move(body);
  return response;
}

}  // namespace

std::vector<Route> stats_routes(server::Member& member, std::shared_ptr<const std::atomic<int64_t>> waits) {
  using Show = std::function<HttpResponse()>;
  const auto route = [&member](std::string path, Show show) {
    return Route{.method = "GET",
                 .path = std::move(path),
                 .handler = [&member, show = std::move(show)](const std::shared_ptr<HttpRequest>& http, Reply reply) {
                   const auto call = std::make_shared<OwnCall>();
                   int64_t timeout_ms = -1;
                   if (const Status bad = fill_context(*call, *http, &timeout_ms); !bad.ok())
                     return reply(message_response(bad));
                   if (!member.gate().closed()) return reply(show());
                   member.gate().admit(call, Right::kUser,
                                       [show, reply = std::move(reply)](const Status& admitted) mutable {
                                         reply(admitted.ok() ? show() : message_response(admitted));
                                       });
                 }};
  };
  return {
      route("/v2/stats/self", [&member] { return json(self_stats(member.stats(), member.id())); }),
      route("/v2/stats/leader",
            [&member] {
              const MemberStats stats = member.stats();
              return stats.leads ? json(leader_stats(stats, member.id())) : message_response(403, "not current leader");
            }),
      route("/v2/stats/store",
            [&member, waits = std::move(waits)] { return json(store_stats(member.node_counts(), waits->load())); })};
}

}  // namespace kv::api
