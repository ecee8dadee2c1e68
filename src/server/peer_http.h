// What a member tells a stranger on its peer port, in plain HTTP and in etcd's words: GET /members and GET /version. A
// member that joins asks so who takes part, since it has no id yet to say hello with.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "etcdserverpb/rpc.pb.h"

namespace kv::tls {
class Context;
}

namespace kv::server {

// What the peers of a cluster say about it.
struct ClusterInfo {
  uint64_t cluster_id = 0;
  std::vector<etcdserverpb::Member> members;
};

// A whole HTTP/1.1 response to a GET of `path`.
std::string answer_peer_http(std::string_view path, uint64_t cluster_id,
                             const std::vector<etcdserverpb::Member>& members, std::string_view cluster_version);

// A whole response to GET /members, read back; the text of an error says what is wrong with it.
Result<ClusterInfo> read_members_response(std::string_view response);

// Asks the member at `url` ("http://host:port"; https needs `tls`) for /members. Blocks for at most `timeout_ms`.
// Unavailable when nobody answers there.
Result<ClusterInfo> fetch_members(const std::string& url, const std::shared_ptr<tls::Context>& tls, int64_t timeout_ms);

}  // namespace kv::server
