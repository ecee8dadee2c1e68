#include "kvctl/dns_discovery.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>

namespace kv::kvctl {
namespace {

constexpr size_t kMaxAnswerBytes = 65535;

// No records when the name doesn't exist or the resolver has no answer.
std::vector<SrvRecord> look_up(const std::string& name) {
  struct __res_state state {};
  if (res_ninit(&state) != 0) return {};
  std::vector<unsigned char> answer(kMaxAnswerBytes);
  const int length =
      res_nquery(&state, name.c_str(), ns_c_in, ns_t_srv, answer.data(), static_cast<int>(answer.size()));
  res_nclose(&state);
  if (length <= 0) return {};
  const size_t bytes = std::min(static_cast<size_t>(length), answer.size());
  auto records = srv_records(std::span(answer).first(bytes));
  return records.ok() ? *std::move(records) : std::vector<SrvRecord>();
}

}  // namespace

std::string srv_name(bool tls, const std::string& service_name, const std::string& domain) {
  return std::string(tls ? "_etcd-client-ssl" : "_etcd-client") + (service_name.empty() ? "" : "-" + service_name) +
         "._tcp." + domain;
}

Result<std::vector<SrvRecord>> srv_records(std::span<const unsigned char> answer) {
  const Status bad(Code::kInvalidArgument, "no DNS answer");
  ns_msg message;
  if (ns_initparse(answer.data(), static_cast<int>(answer.size()), &message) != 0) return bad;
  std::vector<SrvRecord> records;
  for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
    ns_rr record;
    if (ns_parserr(&message, ns_s_an, i, &record) != 0) return bad;
    if (ns_rr_type(record) != ns_t_srv) continue;
    const unsigned char* data = ns_rr_rdata(record);
    char host[NS_MAXDNAME];
    if (ns_rr_rdlen(record) < 7 ||
        dn_expand(ns_msg_base(message), ns_msg_end(message), data + 6, host, sizeof host) < 0) {
      return bad;
    }
    const auto number = [&](size_t at) { return static_cast<uint16_t>(data[at] << 8 | data[at + 1]); };
    records.push_back({.priority = number(0), .weight = number(2), .port = number(4), .host = host});
  }
  std::stable_sort(records.begin(), records.end(), [](const SrvRecord& a, const SrvRecord& b) {
    return a.priority != b.priority ? a.priority < b.priority : a.weight > b.weight;
  });
  return records;
}

Result<std::vector<std::string>> discover_endpoints(const std::string& domain, const std::string& service_name,
                                                    bool only_tls) {
  std::vector<std::string> endpoints;
  for (const bool tls : {true, false}) {
    if (!tls && only_tls) break;
    for (const SrvRecord& record : look_up(srv_name(tls, service_name, domain))) {
      endpoints.push_back((tls ? "https://" : "http://") + record.host + ":" + std::to_string(record.port));
    }
  }
  if (endpoints.empty()) {
    return Status(Code::kUnavailable, "no endpoints in the SRV records of " + srv_name(true, service_name, domain) +
                                          (only_tls ? "" : " and " + srv_name(false, service_name, domain)));
  }
  return endpoints;
}

}  // namespace kv::kvctl
