// /v2/members and /v2/machines, for reading: who the members are, as the clients of etcd's v2 API ask.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "api/call_table.h"
#include "api/net/http.h"

namespace kv::api {

// The table must have the rows of Cluster, and outlive the routes. `leader`: its id; 0 when none is known.
std::vector<Route> rest_cluster_routes(const CallTable& table, uint64_t cluster_id, std::function<uint64_t()> leader);

}  // namespace kv::api
