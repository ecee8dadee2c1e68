#include "api/services/ops.h"

#include <nlohmann/json.hpp>

#include "api/services/health_checks.h"
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

}  // namespace

std::vector<Route> ops_routes(server::Member& member) {
  std::vector<Route> routes = health_routes(member);
  routes.push_back({"GET", "/version", [&member](std::shared_ptr<HttpRequest>, Reply reply) {
                      reply(json(200, {{"etcdserver", server::kServerVersion},
                                       {"etcdcluster", member.cluster_version()},
                                       {"storage", server::kClusterVersion}}));
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
