// The JSON gateway: etcd's calls as POST /v3/..., a second codec over the call table. A row is served as soon as it is
// in the table; what a new call needs here is its path (paths.cc).
#pragma once

#include <cstddef>
#include <vector>

#include "api/call_table.h"
#include "api/net/http.h"

namespace kv::api {

struct GatewayOptions {
  // Of one message, counted as gRPC counts it. A body of JSON may be twice as large, since base64 and names take room.
  size_t max_request_bytes = 2 << 20;
};

// Routes for /v3/ and, as etcd still serves it, /v3beta/. The table must have all of its rows by then, and outlive
// the routes. KV_CHECKs that the codec can carry the rows' messages.
std::vector<Route> gateway_routes(const CallTable& table, const GatewayOptions& options);

}  // namespace kv::api
