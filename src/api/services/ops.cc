#include "api/services/ops.h"

#include <nlohmann/json.hpp>

#include "base/metrics.h"

namespace kv::api {
namespace {

using Reply = absl::AnyInvocable<void(HttpResponse)>;

HttpResponse json(int status, const nlohmann::ordered_json& body) {
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = body.dump() + "\n";
  return response;
}

// Whether the query holds `name=value` (no escapes: both are plain words here).
bool has(const std::string& query, std::string_view pair) {
  size_t at = 0;
  while (at <= query.size()) {
    const size_t end = std::min(query.find('&', at), query.size());
    if (std::string_view(query).substr(at, end - at) == pair) return true;
    at = end + 1;
  }
  return false;
}

// etcd's word for the first alarm that the query does not exclude (`exclude=NOSPACE`, any number of times); "" for
// none.
std::string alarm_reason(const server::Member& member, const std::string& query) {
  for (const etcdserverpb::AlarmMember& alarm : member.alarms()) {
    const std::string& name = etcdserverpb::AlarmType_Name(alarm.alarm());
    if (has(query, "exclude=" + name)) continue;
    const bool known = alarm.alarm() == etcdserverpb::NOSPACE || alarm.alarm() == etcdserverpb::CORRUPT;
    return "ALARM " + (known ? name : "UNKNOWN");
  }
  return "";
}

}  // namespace

std::vector<Route> ops_routes(server::Member& member) {
  std::vector<Route> routes;
  routes.push_back({"GET", "/version", [&member](std::shared_ptr<HttpRequest>, Reply reply) {
                      reply(json(200, {{"etcdserver", server::kServerVersion},
                                       {"etcdcluster", member.cluster_version()},
                                       {"storage", server::kClusterVersion}}));
                    }});
  routes.push_back(
      {"GET", "/health", [&member](std::shared_ptr<HttpRequest> request, Reply reply) {
         if (const std::string reason = alarm_reason(member, request->query); !reason.empty())
           return reply(json(503, {{"health", "false"}, {"reason", reason}}));
         auto shared = std::make_shared<Reply>(std::move(reply));
         member.check_health(has(request->query, "serializable=true"), [shared](const Status& status) {
           const std::string reason = status.ok()                                ? ""
                                      : status.text() == "etcdserver: no leader" ? "RAFT NO LEADER"
                                                                                 : status.text();
           (*shared)(json(status.ok() ? 200 : 503, {{"health", status.ok() ? "true" : "false"}, {"reason", reason}}));
         });
       }});
  routes.push_back({"GET", "/metrics", [](std::shared_ptr<HttpRequest>, Reply reply) {
                      HttpResponse response;
                      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
                      response.body = Metrics::global().render();
                      reply(std::move(response));
                    }});
  return routes;
}

}  // namespace kv::api
