// Who a member is: ids derived from addresses as etcd derives them, so that all first members agree on the cluster
// without talking, and the lists that describe a cluster on a command line.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kv::server {

struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;
  uint16_t port = 0;

  // "host:port", brackets around an IPv6 host.
  std::string authority() const;
};

// "http://host:port", nothing behind the port but an optional "/". InvalidArgument says what is wrong with it.
Result<Url> parse_url(std::string_view text);

// "http://a:1,http://b:2": each checked by parse_url.
Result<std::vector<std::string>> parse_url_list(std::string_view text);

// "m1=http://a:2380,m2=http://b:2380,m2=http://c:2380": one name may come several times.
Result<std::map<std::string, std::vector<std::string>>> parse_initial_cluster(std::string_view text);

// The first eight bytes of SHA-1 over the sorted peer URLs and the cluster's token, as etcd computes a first
// member's id; never 0.
uint64_t member_id(std::vector<std::string> peer_urls, std::string_view cluster_token);

// The first eight bytes of SHA-1 over the first members' ids, sorted, big endian.
uint64_t cluster_id(std::vector<uint64_t> member_ids);

}  // namespace kv::server
