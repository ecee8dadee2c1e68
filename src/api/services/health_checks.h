// How well a member is, in etcd's words, for load balancers and orchestrators:
//
//   GET /health            {"health":"true","reason":""}; ?serializable=true, ?exclude=NOSPACE
//   GET /livez             is the process worth keeping: serializable_read
//   GET /readyz            can it serve: data_corruption, serializable_read, linearizable_read, non_learner
//   GET /readyz/<check>    one of them, and the same below /livez
//
// 200 "ok", or 503 and a line for each check: "[+]serializable_read ok", "[-]non_learner failed: not supported for
// learner". ?verbose has the lines of a success too; ?exclude=<check> leaves one out, as often as it is given.
#pragma once

#include <vector>

#include "api/net/http.h"
#include "server/member.h"

namespace kv::api {

// `member` must outlive the routes and the answers.
std::vector<Route> health_routes(server::Member& member);

}  // namespace kv::api
