// The parameters of a v2 call, from its query and its form, with etcd's errors for those that can't be read.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "api/net/http.h"
#include "server/key_tree.h"

namespace kv::api {

// "a%20b" -> "a b"; with `form`, '+' is a blank too. In `bad` the escape that is none.
std::optional<std::string> unescape(std::string_view text, bool form, std::string* bad);

// What the request asks for. The path's first `prefix` bytes are the door's.
std::optional<server::TreeError> read_tree_request(const HttpRequest& http, size_t prefix, server::TreeRequest* out);

}  // namespace kv::api
