// Plain HTTP requests find their handler, whichever protocol they came by.
#pragma once

#include <string>
#include <string_view>

#include "api/net/server.h"

namespace kv::api {

struct RouteMatch {
  const Route* route = nullptr;
  std::string allow;  // with no route: the methods that the path has; empty when there is no such path
};

// The route with the longest path that fits wins, an exact one before a prefix. HEAD is served by GET's routes.
RouteMatch find_route(const std::vector<Route>& routes, std::string_view method, std::string_view path);

// Whether each % in a path begins an escape. One that does not is nobody's path, and refused whatever the method (400).
bool escapes_are_whole(std::string_view path);

// "404 page not found" and its like: what is answered where no route does.
HttpResponse plain_error(int status, std::string_view text);
// The answer for a match without a route: 404 or 405.
HttpResponse no_route(const RouteMatch& match);

// "/a?b" -> "/a", "b"; an absolute target loses its scheme and authority.
std::pair<std::string, std::string> split_target(std::string_view target);

}  // namespace kv::api
