#include "api/rest/cluster.h"

#include <strings.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "api/json/http_call.h"
#include "api/json/json_reader.h"
#include "api/json/json_writer.h"
#include "api/net/router.h"
#include "api/rest/node_json.h"
#include "base/check.h"
#include "base/log.h"
#include "etcdserverpb/rpc.pb.h"
#include "server/call.h"
#include "server/errors.h"

namespace kv::api {
namespace {

using namespace etcdserverpb;
using Reply = absl::AnyInvocable<void(HttpResponse)>;

constexpr std::string_view kMembers = "/v2/members";

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
  if (leader == 0) return message_response(503, "During election");
  for (const Member& member : list.members()) {
    if (member.id() != leader) continue;
    HttpResponse response;
    response.content_type = "application/json";
    append_member(member, response.body);
    response.body += '\n';
    return response;
  }
  return message_response(404, "No such member: " + hex_id(leader));
}

HttpResponse show_machines(const MemberListResponse& list) {
  HttpResponse response;
  for (const Member& member : list.members()) {
    for (const std::string& url : member.clienturls()) response.body += (response.body.empty() ? "" : ", ") + url;
  }
  return response;
}

// ---- changes ----

// Of "/v2/members/8e9e05c52164694d".
std::string_view id_text(const HttpRequest& http) {
  std::string_view id(http.path);
  id.remove_prefix(std::min(id.size(), kMembers.size() + 1));
  return id;
}

HttpResponse no_such_member(std::string_view id) { return message_response(404, "No such member: " + std::string(id)); }

std::optional<uint64_t> read_id(std::string_view text) {
  uint64_t id = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (wrong != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

// {"peerURLs":[...]}, as the protobuf message has it.
template <typename Request>
std::optional<HttpResponse> read_change(const HttpRequest& http, Request* request) {
  const std::string_view type = http.header("content-type");
  std::string bare(type.substr(0, type.find(';')));
  bare.resize(bare.find_last_not_of(' ') + 1);
  if (strcasecmp(bare.c_str(), "application/json") != 0)
    return message_response(415, "Bad Content-Type " + bare + ", accept application/json");
  if (const Status bad = read_first_json(http.body, *request); !bad.ok()) return message_response(400, bad.text());
  return std::nullopt;
}

// Each route is a codec over a row of the call table, whose gate says who may.
class ClusterCalls {
 public:
  ClusterCalls(const CallTable& table, uint64_t cluster_id, std::function<bool(uint64_t)> removed)
      : table_(table), cluster_id_(hex_id(cluster_id)), removed_(std::move(removed)) {}

  // A route that asks for `method` what `read` makes of the HTTP request (it may answer itself instead), and shows the
  // response by `show`.
  template <typename Request, typename Response>
  Route route(std::string http_method, std::string path, const std::string& method,
              std::function<std::optional<HttpResponse>(const HttpRequest&, Request*)> read,
              std::function<HttpResponse(const Response&)> show) const {
    const Row* const row = table_.find("/etcdserverpb.Cluster/" + method);
    KV_CHECK(row != nullptr, "the table has the rows of Cluster");
    return Route{.method = std::move(http_method),
                 .path = std::move(path),
                 .handler = [row, self = *this, read = std::move(read), show = std::move(show)](
                                const std::shared_ptr<HttpRequest>& http, Reply reply) {
                   auto request = std::make_unique<Request>();
                   const auto call = std::make_shared<OwnCall>();
                   int64_t timeout_ms = -1;
                   if (const Status bad = fill_context(*call, *http, &timeout_ms); !bad.ok())
                     return reply(self.with_id(message_response(bad)));
                   if (auto answer = read(*http, request.get())) return reply(self.with_id(*std::move(answer)));
                   row->unary(call, std::move(request),
                              [self, show, id = std::string(id_text(*http)), reply = std::move(reply)](
                                  const Status& status, const google::protobuf::Message* response) mutable {
                                const bool answered = status.ok() && response != nullptr;
                                reply(self.with_id(answered ? show(static_cast<const Response&>(*response))
                                                            : self.refuse(status, id)));
                              });
                 }};
  }

 private:
  HttpResponse with_id(HttpResponse response) const {
    response.headers.emplace_back("X-Etcd-Cluster-Id", cluster_id_);
    return response;
  }
  // In the status codes that etcd 2's clients know, and the cluster's own words.
  HttpResponse refuse(const Status& status, std::string_view id) const {
    if (status.code() == Code::kNotFound) {
      const auto member = read_id(id);
      return member && removed_(*member) ? message_response(410, "Member permanently removed: " + hex_id(*member))
                                         : no_such_member(id);
    }
    if (status == server::errors::peer_urls_exist()) return message_response(409, status.text());
    return message_response(status);
  }

  const CallTable& table_;
  const std::string cluster_id_;
  const std::function<bool(uint64_t)> removed_;
};

template <typename Request>
std::optional<HttpResponse> read_nothing(const HttpRequest&, Request*) {
  return std::nullopt;
}

template <typename Request>
std::optional<HttpResponse> read_which(const HttpRequest& http, Request* request) {
  if (id_text(http).empty()) return plain_error(405, "Method Not Allowed");
  const auto id = read_id(id_text(http));
  if (!id) return no_such_member(id_text(http));
  request->set_id(*id);
  return std::nullopt;
}

template <typename Response>
HttpResponse show_nothing(const Response&) {
  return {.status = 204};
}

HttpResponse show_added(const MemberAddResponse& added) {
  HttpResponse response;
  response.status = 201;
  response.content_type = "application/json";
  append_member(added.member(), response.body);
  response.body += '\n';
  return response;
}

std::optional<HttpResponse> read_update(const HttpRequest& http, MemberUpdateRequest* request) {
  if (auto bad = read_which(http, request)) return bad;
  const uint64_t id = request->id();
  auto bad = read_change(http, request);
  request->set_id(id);  // the path's, whatever the body says
  return bad;
}

}  // namespace

std::vector<Route> rest_cluster_routes(const CallTable& table, const server::Member& member) {
  const ClusterCalls calls(table, member.cluster_id(), [&member](uint64_t id) { return member.was_removed(id); });
  const std::string members(kMembers), each = members + "/*";
  const auto list = [&calls](const std::string& path, std::function<HttpResponse(const MemberListResponse&)> show) {
    return calls.route<MemberListRequest, MemberListResponse>("GET", path, "MemberList",
                                                              read_nothing<MemberListRequest>, std::move(show));
  };
  const auto nothing_there = [](const MemberListResponse&) { return message_response(404, "Not found"); };
  return {
      list(members, show_members),
      list(members + "/", show_members),
      list(each, nothing_there),
      list(members + "/leader", [&member](const MemberListResponse& all) { return show_leader(all, member.leader()); }),
      list("/v2/machines", show_machines),
      calls.route<MemberAddRequest, MemberAddResponse>("POST", members, "MemberAdd", read_change<MemberAddRequest>,
                                                       show_added),
      calls.route<MemberRemoveRequest, MemberRemoveResponse>(
          "DELETE", each, "MemberRemove", read_which<MemberRemoveRequest>, show_nothing<MemberRemoveResponse>),
      calls.route<MemberUpdateRequest, MemberUpdateResponse>("PUT", each, "MemberUpdate", read_update,
                                                             show_nothing<MemberUpdateResponse>)};
}

}  // namespace kv::api
