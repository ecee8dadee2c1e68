// Leases: keys that are put with one die with it, when it isn't kept alive or when it is revoked.
//
//   Result<LeaseGrantResponse> lease = client.lease_grant(10);
//   if (!lease.ok()) return lease.status();
//   client.put("/services/mail/1", "10.0.0.7:25", {.lease = lease->id});
//   KeepAlive alive = client.keep_alive(lease->id, {.ttl_s = lease->ttl_s, .on_lost = [](const Status&) { ... }});
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "client/types.h"
#include "client/wait.h"

namespace kv::client {

struct LeaseGrantResponse {
  ResponseHeader header{};
  int64_t id = 0;
  int64_t ttl_s = 0;  // the server may have raised it
};

struct LeaseRevokeResponse {
  ResponseHeader header{};
};

struct LeaseKeepAliveResponse {
  ResponseHeader header{};
  int64_t id = 0;
  int64_t ttl_s = 0;  // from now on
};

struct LeaseTimeToLiveResponse {
  ResponseHeader header{};
  int64_t id = 0;
  int64_t ttl_s = 0;  // what is left; -1: there is no such lease
  int64_t granted_ttl_s = 0;
  std::vector<std::string> keys{};
};

struct LeaseListResponse {
  ResponseHeader header{};
  std::vector<int64_t> ids{};
};

struct KeepAliveOptions {
  // The lease's TTL. 0: not known; it is then given up when the first keep-alive isn't answered in the call timeout.
  int64_t ttl_s = 0;
  // These run on the client's callback thread (see WatchCallbacks).
  std::function<void(const LeaseKeepAliveResponse&)> on_alive{};
  std::function<void(const Status&)> on_lost{};  // the last call
};

struct KeptLease;
class KeepAliveStream;

// Keeps a lease alive for as long as this object lives: a keep-alive now and then at each third of the TTL, on one
// stream for all leases of a client, which moves to another endpoint when it breaks or isn't answered for a third of
// a TTL. Does not revoke the lease at the end.
//
// A lease counts as lost when the server doesn't know it (NotFound), and when a whole TTL has passed since the last
// keep-alive that was answered has been *sent* (DeadlineExceeded). The server counts from later on, so it doesn't end
// the lease before this object says so, as long as this machine's clock isn't slower than the leader's. The way from
// there to the program's next instruction is not covered: see "What a lock promises" in docs/client.md.
//
// Any thread may call any function, except moving and destroying.
class KeepAlive {
 public:
  KeepAlive(std::shared_ptr<KeepAliveStream> stream, std::shared_ptr<KeptLease> lease);
  // No callback runs any more when it returns, except one that it is called from.
  ~KeepAlive();
  KeepAlive(KeepAlive&&) noexcept = default;
  KeepAlive& operator=(KeepAlive&&) noexcept;

  int64_t lease() const;
  bool lost() const;
  // Why the lease is lost; nothing while it isn't.
  std::optional<Status> why_lost() const;
  // A stop is requested of it when the lease is lost; on the keep-alive thread, so that a std::stop_callback must
  // not block.
  std::stop_token lost_token() const;
  // Ok once the lease is lost.
  Status wait_lost(const Wait& wait = {}) const;

 private:
  void close();

  std::shared_ptr<KeepAliveStream> stream_;
  std::shared_ptr<KeptLease> lease_;
};

}  // namespace kv::client
