#include "api/net/router.h"

#include <cctype>
#include <utility>

namespace kv::api {

RouteMatch find_route(const std::vector<Route>& routes, std::string_view method, std::string_view path) {
  const std::string_view served_as = method == "HEAD" ? "GET" : method;
  RouteMatch match;
  size_t best = 0;
  for (const Route& route : routes) {
    const bool prefix = route.path.ends_with('*');
    const std::string_view fixed = std::string_view(route.path).substr(0, route.path.size() - (prefix ? 1 : 0));
    if (prefix ? !path.starts_with(fixed) : path != fixed) continue;
    if (!route.method.empty() && route.method != served_as && route.method != method) {
      if (!match.allow.empty()) match.allow += ", ";
      match.allow += route.method;
      continue;
    }
    const size_t rank = 2 * fixed.size() + (prefix ? 1 : 2);
    if (rank <= best) continue;
    best = rank;
    match.route = &route;
  }
  return match;
}

bool escapes_are_whole(std::string_view path) {
  const auto is_hex = [path](size_t at) {
    return at < path.size() && std::isxdigit(static_cast<unsigned char>(path[at]));
  };
  for (size_t at = path.find('%'); at != std::string_view::npos; at = path.find('%', at + 3)) {
    if (!is_hex(at + 1) || !is_hex(at + 2)) return false;
  }
  return true;
}

HttpResponse plain_error(int status, std::string_view text) {
  HttpResponse response;
  response.status = status;
  response.headers.emplace_back("x-content-type-options", "nosniff");
  response.body = text;
  response.body += '\n';
  return response;
}

HttpResponse no_route(const RouteMatch& match) {
  if (match.allow.empty()) return plain_error(404, "404 page not found");
  HttpResponse response = plain_error(405, "Method Not Allowed");
  response.headers.emplace_back("allow", match.allow);
  return response;
}

std::pair<std::string, std::string> split_target(std::string_view target) {
  if (!target.starts_with('/')) {
    const size_t scheme = target.find("://");
    if (scheme != std::string_view::npos) {
      const size_t path = target.find_first_of("/?", scheme + 3);
      target = path == std::string_view::npos ? "/" : target.substr(path);
    }
  }
  if (const size_t fragment = target.find('#'); fragment != std::string_view::npos) target = target.substr(0, fragment);
  const size_t question = target.find('?');
  if (question == std::string_view::npos) return {std::string(target), {}};
  std::string path(target.substr(0, question));
  if (path.empty()) path = "/";
  return {std::move(path), std::string(target.substr(question + 1))};
}

}  // namespace kv::api
