// What operators and their tools ask by plain HTTP: GET /version, /metrics, and how well the
// member is (health_checks.h).
#pragma once

#include <vector>

#include "api/net/server.h"
#include "server/member.h"

namespace kv::api {

// `member` must outlive the routes.
std::vector<Route> ops_routes(server::Member& member);

}  // namespace kv::api
