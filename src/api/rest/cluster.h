// /v2/members and /v2/machines: who the members are, and their changes, as the clients of etcd's v2 API ask.
#pragma once

#include <vector>

#include "api/call_table.h"
#include "api/net/http.h"
#include "server/member.h"

namespace kv::api {

// The table must have the rows of Cluster. Both must outlive the routes.
std::vector<Route> rest_cluster_routes(const CallTable& table, const server::Member& member);

}  // namespace kv::api
