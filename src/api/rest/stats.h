// /v2/stats: what a member tells of itself, as clients of etcd's v2 API ask. What each number is: docs/rest.md.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "api/net/http.h"
#include "server/member.h"

namespace kv::api {

// `member` must outlive the routes. `waits`: how many wait on /v2/keys.
std::vector<Route> stats_routes(server::Member& member, std::shared_ptr<const std::atomic<int64_t>> waits);

}  // namespace kv::api
