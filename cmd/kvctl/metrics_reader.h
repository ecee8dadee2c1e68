// GET /metrics of a member: what only the server itself counts.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "client/client.h"

namespace kv::kvctl {

// The samples without labels, by name.
using Metrics = std::map<std::string, double, std::less<>>;

// The samples of a text in Prometheus' format; lines that are none are left out.
Metrics parse_metrics(std::string_view text);

// Asks an endpoint by HTTP or HTTPS, with the options' TLS files. The error says why it can't be had.
Result<Metrics> read_metrics(const std::string& endpoint, const client::TlsOptions& tls,
                             std::chrono::milliseconds limit);

}  // namespace kv::kvctl
