#include "api/rest/cluster.h"

#include <memory>
#include <string_view>
#include <utility>

#include "api/json/http_call.h"
#include "api/json/json_writer.h"
#include "base/check.h"
#include "base/log.h"
#include "etcdserverpb/rpc.pb.h"
#include "server/call.h"

namespace kv::api {
namespace {

using etcdserverpb::Member;
using etcdserverpb::MemberListRequest;
using etcdserverpb::MemberListResponse;
using Reply = absl::AnyInvocable<void(HttpResponse)>;

void append_urls(const google::protobuf::RepeatedPtrField<std::string>& urls, std::string& out) {
  out += '[';
  for (const std::string& url : urls) {
    if (out.back() != '[') out += ',';
    append_json_string(url, out);
  }
  out += ']';
}

void append_member(const Member& member, std::string& out) {
  out += "{\"id\":\"" + hex_id(member.id()) + "\",\"name\":";
  append_json_string(member.name(), out);
  out += ",\"peerURLs\":";
  append_urls(member.peerurls(), out);
  out += ",\"clientURLs\":";
  append_urls(member.clienturls(), out);
  out += '}';
}

HttpResponse message(int status, std::string_view text) {
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = "{\"message\":";
  append_json_string(text, response.body);
  response.body += '}';
  return response;
}

HttpResponse show_members(const MemberListResponse& list) {
  HttpResponse response;
  response.content_type = "application/json";
  response.body = "{\"members\":[";
  for (const Member& member : list.members()) {
    if (response.body.back() != '[') response.body += ',';
    append_member(member, response.body);
  }
  response.body += "]}\n";
  return response;
}

HttpResponse show_leader(const MemberListResponse& list, uint64_t leader) {
  if (leader == 0) return message(503, "During election");
  for (const Member& member : list.members()) {
    if (member.id() != leader) continue;
    HttpResponse response;
    response.content_type = "application/json";
    append_member(member, response.body);
    response.body += '\n';
    return response;
  }
  return message(404, "No such member: " + hex_id(leader));
}

HttpResponse show_machines(const MemberListResponse& list) {
  HttpResponse response;
  for (const Member& member : list.members()) {
    for (const std::string& url : member.clienturls()) response.body += (response.body.empty() ? "" : ", ") + url;
  }
  return response;
}

}  // namespace

std::vector<Route> rest_cluster_routes(const CallTable& table, uint64_t cluster_id, std::function<uint64_t()> leader) {
  const Row* const row = table.find("/etcdserverpb.Cluster/MemberList");
  KV_CHECK(row != nullptr, "the table has the rows of Cluster");
  using Show = std::function<HttpResponse(const MemberListResponse&)>;
  const auto route = [row, id = hex_id(cluster_id)](std::string path, Show show) {
    return Route{.method = "GET",
                 .path = std::move(path),
                 .handler = [row, id, show = std::move(show)](const std::shared_ptr<HttpRequest>& http, Reply reply) {
                   const auto call = std::make_shared<OwnCall>();
                   int64_t timeout_ms = -1;
                   if (const Status bad = fill_context(*call, *http, &timeout_ms); !bad.ok()) {
                     return reply(message(http_status(bad.code()), bad.text()));
                   }
                   row->unary(call, std::make_unique<MemberListRequest>(),
                              [id, show, reply = std::move(reply)](const Status& status,
                                                                   const google::protobuf::Message* response) mutable {
                                HttpResponse out = status.ok() && response != nullptr
                                                       ? show(static_cast<const MemberListResponse&>(*response))
                                                       : message(http_status(status.code()), status.text());
                                out.headers.emplace_back("X-Etcd-Cluster-Id", id);
                                reply(std::move(out));
                              });
                 }};
  };
  const Show by_leader = [leader = std::move(leader)](const MemberListResponse& list) {
    return show_leader(list, leader());
  };
  return {route("/v2/members", show_members), route("/v2/members/leader", by_leader),
          route("/v2/machines", show_machines)};
}

}  // namespace kv::api
