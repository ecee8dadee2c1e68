// The endpoints of a cluster as DNS tells them (--discovery-srv): SRV records _etcd-client-ssl._tcp.DOMAIN for those
// with TLS and _etcd-client._tcp.DOMAIN for those without, as etcd's clients look them up.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace kv::kvctl {

struct SrvRecord {
  uint16_t priority = 0;
  uint16_t weight = 0;
  uint16_t port = 0;
  std::string host{};

  bool operator==(const SrvRecord&) const = default;
};

// The SRV records of an answer, by priority and then by weight, the heaviest first. InvalidArgument for bytes that are
// no answer.
Result<std::vector<SrvRecord>> srv_records(std::span<const unsigned char> answer);

// "_etcd-client-ssl-NAME._tcp.DOMAIN"; without a name, no "-NAME".
std::string srv_name(bool tls, const std::string& service_name, const std::string& domain);

// https:// endpoints first, then, unless `only_tls`, http:// ones. Unavailable when there are none.
Result<std::vector<std::string>> discover_endpoints(const std::string& domain, const std::string& service_name,
                                                    bool only_tls);

}  // namespace kv::kvctl
