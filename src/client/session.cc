#include "client/session.h"

namespace kv::client {

Result<std::unique_ptr<Session>> Session::create(Client& client, const SessionOptions& options) {
  int64_t lease = options.lease;
  int64_t ttl_s = options.ttl_s;
  if (lease == 0) {
    const auto granted = client.lease_grant(options.ttl_s);
    if (!granted.ok()) return granted.status();
    lease = granted->id;
    ttl_s = granted->ttl_s;
  }
  return std::unique_ptr<Session>(new Session(client, client.keep_alive(lease, {.ttl_s = ttl_s})));
}

Session::~Session() { (void)close(); }

Status Session::close() {
  if (!revokes_.exchange(false) || lost()) return {};
  const Status status = client_.lease_revoke(lease()).status();
  if (status.code() == Code::kNotFound) return {};
  return status;
}

int64_t Session::orphan() {
  revokes_ = false;
  return lease();
}

}  // namespace kv::client
