#include "api/net/access.h"

namespace kv::api {
namespace {

// "example.com:2379" -> "example.com", "[::1]:2379" -> "::1"; without a port it is taken as it is.
std::string_view without_port(std::string_view host) {
  const size_t colon = host.rfind(':');
  if (colon == std::string_view::npos) return host;
  const std::string_view name = host.substr(0, colon);
  if (name.starts_with('[') && name.ends_with(']')) return name.substr(1, name.size() - 2);
  return name.find(':') == std::string_view::npos ? name : host;
}

}  // namespace

AccessRules::AccessRules(const std::vector<std::string>& cors, const std::vector<std::string>& hosts)
    : origins_(cors.begin(), cors.end()), hosts_(hosts.begin(), hosts.end()) {}

std::optional<HttpResponse> AccessRules::refuse(const HttpRequest& request) const {
  if (request.secure || hosts_.empty() || hosts_.contains("*")) return std::nullopt;
  const std::string host(without_port(request.header("host")));
  if (hosts_.contains(host)) return std::nullopt;
  HttpResponse response;
  response.status = 421;
  response.headers.emplace_back("x-content-type-options", "nosniff");
  response.body = "The Host header names a host that this server does not answer for: \"" + host +
                  "\".\nTo be served under that name, add it to --host-whitelist, or ask by https.\n"
                  "(This keeps web pages from reaching the server by DNS rebinding, CVE-2018-5702.)\n";
  return response;
}

void AccessRules::add_headers(const HttpRequest& request, HttpFields& fields) const {
  std::string_view origin = "*";
  if (!origins_.contains(origin)) {
    origin = request.header("origin");
    if (origin.empty() || !origins_.contains(origin)) return;
  }
  fields.emplace_back("access-control-allow-methods", "POST, GET, OPTIONS, PUT, DELETE");
  fields.emplace_back("access-control-allow-origin", origin);
  fields.emplace_back("access-control-allow-headers", "accept, content-type, authorization");
}

}  // namespace kv::api
