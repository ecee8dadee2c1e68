// The REST door: /v2/keys and /v2/stats, the key space as files and directories for curl and for the clients of etcd's
// v2 API. A codec over Member::node; what the calls mean is told in store/node_tree.h, and for users in docs/rest.md.
#pragma once

#include <vector>

#include "api/net/http.h"
#include "server/member.h"

namespace kv::api {

// `member` must outlive the routes.
std::vector<Route> rest_routes(server::Member& member);

}  // namespace kv::api
