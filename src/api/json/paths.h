// Where each call stands in the JSON gateway: the one table to extend for a new call.
#pragma once

#include <span>
#include <string_view>

namespace kv::api {

struct GatewayPath {
  std::string_view http;  // "/v3/kv/put"
  std::string_view call;  // "/etcdserverpb.KV/Put"
};

// All paths of etcd's gateway, whether or not the call table has their rows.
std::span<const GatewayPath> gateway_paths();

}  // namespace kv::api
