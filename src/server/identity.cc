#include "server/identity.h"

#include <openssl/sha.h>

#include <algorithm>
#include <charconv>

namespace kv::server {
namespace {

Status invalid(std::string text) { return {Code::kInvalidArgument, std::move(text)}; }

uint64_t first_eight_bytes_of_sha1(std::string_view bytes) {
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  uint64_t id = 0;
  for (int i = 0; i < 8; ++i) id = id << 8 | digest[i];
  return id;
}

// The parts between commas, blanks around them cut off; empty parts are left out.
std::vector<std::string_view> split_list(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

}  // namespace

std::string Url::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Url> parse_url(std::string_view text) {
  const std::string shown = "\"" + std::string(text) + "\"";
  const size_t separator = text.find("://");
  if (separator == std::string_view::npos) return invalid("URL " + shown + " has no scheme: write http://HOST:PORT");
  Url url;
  url.scheme = text.substr(0, separator);
  if (url.scheme != "http" && url.scheme != "https") return invalid("URL " + shown + ": scheme must be http or https");
  std::string_view rest = text.substr(separator + 3);
  if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  if (rest.find_first_of("/?#@") != std::string_view::npos)
    return invalid("URL " + shown + " must not contain a path, a query or a user");
  size_t colon;
  if (!rest.empty() && rest.front() == '[') {
    const size_t bracket = rest.find(']');
    if (bracket == std::string_view::npos) return invalid("URL " + shown + " has a '[' without ']'");
    url.host = rest.substr(1, bracket - 1);
    colon = bracket + 1;
  } else {
    colon = rest.rfind(':');
    url.host = rest.substr(0, colon);
  }
  if (colon >= rest.size() || rest[colon] != ':') return invalid("URL " + shown + " has no port");
  if (url.host.empty()) return invalid("URL " + shown + " has no host");
  const std::string_view port = rest.substr(colon + 1);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || error != std::errc() || end != port.data() + port.size() || number > 65535)
    return invalid("URL " + shown + ": port must be a number from 0 to 65535");
  url.port = static_cast<uint16_t>(number);
  return url;
}

Result<std::vector<std::string>> parse_url_list(std::string_view text) {
  std::vector<std::string> urls;
  for (const std::string_view part : split_list(text)) {
    if (const auto url = parse_url(part); !url.ok()) return url.status();
    urls.emplace_back(part);
  }
  if (urls.empty()) return invalid("a list of URLs is empty");
  return urls;
}

Result<std::map<std::string, std::vector<std::string>>> parse_initial_cluster(std::string_view text) {
  std::map<std::string, std::vector<std::string>> members;
  for (const std::string_view part : split_list(text)) {
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0)
      return invalid("\"" + std::string(part) + "\" is not NAME=URL");
    const std::string_view url = part.substr(equals + 1);
    if (const auto parsed = parse_url(url); !parsed.ok()) return parsed.status();
    members[std::string(part.substr(0, equals))].emplace_back(url);
  }
  if (members.empty()) return invalid("the list of members is empty");
  std::vector<std::string> all;
  for (const auto& [name, urls] : members) all.insert(all.end(), urls.begin(), urls.end());
  std::sort(all.begin(), all.end());
  if (const auto twice = std::adjacent_find(all.begin(), all.end()); twice != all.end())
    return invalid("peer URL " + *twice + " is given twice");
  return members;
}

uint64_t member_id(std::vector<std::string> peer_urls, std::string_view cluster_token) {
  std::sort(peer_urls.begin(), peer_urls.end());
  std::string bytes;
  for (const std::string& url : peer_urls) bytes += url;
  bytes += cluster_token;
  const uint64_t id = first_eight_bytes_of_sha1(bytes);
  return id != 0 ? id : 1;
}

uint64_t cluster_id(std::vector<uint64_t> member_ids) {
  std::sort(member_ids.begin(), member_ids.end());
  std::string bytes;
  for (const uint64_t id : member_ids) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(id >> shift);
  }
  return first_eight_bytes_of_sha1(bytes);
}

}  // namespace kv::server
