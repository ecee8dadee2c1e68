// /v2/keys: the key space as files and directories, for curl and for the clients of etcd's v2 API. A codec over two
// rows of the call table; what the calls mean is told in server/key_tree.h, and for users in docs/rest.md.
#pragma once

#include <cstdint>
#include <vector>

#include "api/call_table.h"
#include "api/net/http.h"

namespace kv::api {

// The table must have the rows of KV, and outlive the routes.
std::vector<Route> rest_routes(const CallTable& table, uint64_t cluster_id);

}  // namespace kv::api
