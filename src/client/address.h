// An endpoint as people write it, taken apart.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace kv::client {

enum class Security : uint8_t {
  kPlain,       // http://
  kTls,         // https://, unixs:
  kAsOptioned,  // no scheme, unix: as TlsOptions say
};

struct Address {
  std::string target{};     // what gRPC dials: host:port or unix:path
  std::string authority{};  // the name in the certificate and in :authority; empty: gRPC's choice
  Security security = Security::kAsOptioned;
};

// Reads host:port, http://host:port, https://host:port (a path behind is ignored), unix:path, unix://path,
// unix:///path and unixs: likewise. A host without a port is an error: etcd has no default port either.
Result<Address> parse_address(std::string_view endpoint);

}  // namespace kv::client
