// A question to a member by one who has no id yet: GET in HTTP/1.1 on the peer port, plain or by TLS.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kv::tls {
class Context;
}

namespace kv::raft {

// The whole response of whoever listens at `url` ("http://host:port"; https needs `tls`). Blocks for at most
// `timeout_ms` after the host's name is looked up. Unavailable when nobody answers; one that is cut short or longer
// than 1 MiB is returned as it came, cut at that: the reader has its length.
Result<std::string> ask_peer(const std::string& url, std::string_view path, const std::shared_ptr<tls::Context>& tls,
                             int64_t timeout_ms);

}  // namespace kv::raft
