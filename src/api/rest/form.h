// The parameters of a call of /v2/keys, from its query and its form, with etcd's errors for those that can't be read.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/net/http.h"
#include "kvdpb/command.pb.h"

namespace kv::api {

struct NodeError {
  // etcd's v2 codes; or one of these two, which is answered in plain text and has no cause.
  static constexpr int kBadTarget = -400;
  static constexpr int kNoSuchPage = -404;
  int code = 0;
  std::string cause;
};

struct NodeCall {
  kvdpb::NodeRequest node;
  bool wait = false;
  bool stream = false;
  bool no_value_on_success = false;  // of a write: only the action is told
  int64_t wait_index = 0;            // 0: from now on
};

// "a//b/../c/" -> "/a/c"; "/" is the root. `above`: tells whether a ".." led above the root.
std::string clean_node_path(std::string_view path, bool* above = nullptr);

// "a%20b" -> "a b"; with `form`, '+' is a blank too. In `bad` the escape that is none.
std::optional<std::string> unescape(std::string_view text, bool form, std::string* bad);

// The node that the path names, which begins behind its first `prefix` bytes.
std::optional<NodeError> read_node_path(const HttpRequest& http, size_t prefix, std::string* path);

// What the request asks for. The path's first `prefix` bytes are the door's.
std::optional<NodeError> read_node_call(const HttpRequest& http, size_t prefix, NodeCall* out);

}  // namespace kv::api
