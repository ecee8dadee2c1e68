#include "client/address.h"

#include <charconv>

namespace kv::client {
namespace {

Status bad(std::string_view endpoint, std::string_view why) {
  return Status(Code::kInvalidArgument, "endpoint \"" + std::string(endpoint) + "\": " + std::string(why) +
                                            "; write host:port, http://host:port, https://host:port or unix:path");
}

bool valid_port(std::string_view port) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  return error == std::errc() && end == port.data() + port.size() && value > 0 && value <= 65535;
}

Result<Address> parse_unix(std::string_view endpoint, std::string_view path, Security security) {
  // unix:///abs is an absolute path, unix://rel and unix:rel a relative one.
  if (path.starts_with("//")) path.remove_prefix(2);
  if (path.empty()) return bad(endpoint, "the socket's path is missing");
  const size_t slash = path.rfind('/');
  // The socket's file name is the server's name, as etcd has it; gRPC's own choice would be a percent-encoded path.
  return Address{"unix:" + std::string(path), std::string(path.substr(slash == path.npos ? 0 : slash + 1)), security};
}

}  // namespace

Result<Address> parse_address(std::string_view endpoint) {
  std::string_view rest = endpoint;
  auto take = [&rest](std::string_view prefix) {
    if (!rest.starts_with(prefix)) return false;
    rest.remove_prefix(prefix.size());
    return true;
  };
  Security security = Security::kAsOptioned;
  if (take("unixs:")) return parse_unix(endpoint, rest, Security::kTls);
  if (take("unix:")) return parse_unix(endpoint, rest, Security::kAsOptioned);
  if (take("http://")) {
    security = Security::kPlain;
  } else if (take("https://")) {
    security = Security::kTls;
  } else if (const size_t scheme = rest.find("://"); scheme != rest.npos) {
    return bad(endpoint, "unknown scheme \"" + std::string(rest.substr(0, scheme)) + "\"");
  }
  if (security != Security::kAsOptioned) rest = rest.substr(0, rest.find('/'));

  const size_t colon = rest.rfind(':');
  const bool inside_brackets = colon != rest.npos && rest.find(']', colon) != rest.npos;
  if (colon == rest.npos || inside_brackets) return bad(endpoint, "the port is missing");
  const std::string_view host = rest.substr(0, colon);
  if (host.empty()) return bad(endpoint, "the host is missing");
  if (host.find(':') != host.npos && !(host.front() == '[' && host.back() == ']')) {
    return bad(endpoint, "an IPv6 address needs brackets");
  }
  if (host.find_first_of(" \t\r\n/\"") != host.npos) return bad(endpoint, "the host can't be read");
  if (!valid_port(rest.substr(colon + 1))) return bad(endpoint, "the port is not a number from 1 to 65535");
  return Address{std::string(rest), {}, security};
}

}  // namespace kv::client
