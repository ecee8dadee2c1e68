// The client of a kvd or etcd cluster, for programs to embed.
//
//   auto client = kv::Client::create({.endpoints = {"127.0.0.1:2379", "127.0.0.1:22379"}});
//   if (!client.ok()) return client.status();
//   Result<kv::client::GetResponse> got = (*client)->get("message");
//
// One Client serves all threads of a program; calls block until they are answered or their time is over (for others see
// async.h). It keeps to
// one endpoint for as long as that works and moves on to the next when it doesn't.
//
// A call is sent a second time only where that can't do harm (retry.h): reads, and calls that certainly never left
// this process. So a write that fails with Unavailable or DeadlineExceeded may or may not have happened.
//
// A range that is larger than one answer: range.h.
//
// Watches (watch.h) and keep-alives (lease.h) each share one stream, on a thread that a client starts with the first of
// them; session.h, mutex.h and election.h build on both.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "client/lease.h"
#include "client/txn.h"
#include "client/types.h"
#include "client/watch.h"

namespace kv::client {

// Files are PEM. TLS is used for https:// endpoints, and for endpoints without a scheme when any of this is set.
struct TlsOptions {
  bool always = false;      // TLS for endpoints without a scheme, with nothing else set
  std::string ca_file{};    // empty: the system's roots
  std::string cert_file{};  // with key_file: who we are
  std::string key_file{};
  // The name that servers' certificates are to be for, whatever the endpoints are called: as behind a tunnel or an
  // address that isn't in them. Empty: each endpoint's own host.
  std::string server_name{};
  bool insecure_skip_verify = false;  // take any server's certificate; for tests
};

struct ClientOptions {
  // host:port, http://host:port, https://host:port, unix:path or unix:///path.
  std::vector<std::string> endpoints = {"127.0.0.1:2379"};

  // How long a call waits for an endpoint to be connected, before it says that none is.
  std::chrono::milliseconds dial_timeout{2000};
  // How long a call may take in all, unless it says otherwise.
  std::chrono::milliseconds call_timeout{5000};

  // A connection on which nothing arrives is pinged this often and given up after the timeout. Values below ten
  // seconds count as ten, as in Go's gRPC: servers answer more frequent pings with GOAWAY.
  std::chrono::milliseconds keepalive_time{10000};
  std::chrono::milliseconds keepalive_timeout{6000};

  // Of calls that nobody waits for (async.h): so many may be on their way.
  size_t async_calls_max = 1024;

  size_t send_bytes_max = 2 * 1024 * 1024;
  size_t receive_bytes_max = INT32_MAX;

  // Lets a server send ahead of who reads a stream, and the more the more is gained by it: that is fast over any
  // distance, and takes as much memory as a busy reader makes it. Without, a message and 64 KiB wait in a stream at
  // most, and so much is sent in a round trip.
  bool read_ahead = true;

  TlsOptions tls{};

  // Name and password, exchanged for a token at the first call and again when the token is refused; or a token.
  std::string user{};
  std::string password{};
  std::string token{};
};

struct CallOptions {
  // Zero: ClientOptions::call_timeout.
  std::chrono::milliseconds timeout{0};
};

class Async;
class Calls;
class Namespace;
struct Streams;

class Client {
 public:
  // Connects to nothing yet. Fails with InvalidArgument for an endpoint that can't be read, a file that can't be
  // opened, or no endpoint at all.
  static Result<std::unique_ptr<Client>> create(ClientOptions options);

  // Ends its watches and keep-alives. No callback runs any more when it returns; callbacks must not destroy it.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // What every call below may answer: Unavailable with all endpoints and their errors named when none can be reached,
  // DeadlineExceeded when time is over, and the server's own errors with etcd's texts.
  Result<GetResponse> get(std::string_view key, const GetOptions& options = {}, const CallOptions& call = {});
  Result<PutResponse> put(std::string_view key, std::string_view value, const PutOptions& options = {},
                          const CallOptions& call = {});
  Result<RemoveResponse> remove(std::string_view key, const RemoveOptions& options = {}, const CallOptions& call = {});
  Result<TxnResponse> commit(const Txn& txn, const CallOptions& call = {});

  // Forgets the history before `revision`.
  Result<CompactResponse> compact(int64_t revision, const CompactOptions& options = {}, const CallOptions& call = {});

  Result<MemberListResponse> member_list(const MemberListOptions& options = {}, const CallOptions& call = {});
  // Changes of members are sent once, as writes are. A learner receives everything and does not vote, until promoted.
  Result<MemberAddResponse> member_add(const std::vector<std::string>& peer_urls, bool learner = false,
                                       const CallOptions& call = {});
  Result<MemberListResponse> member_remove(uint64_t id, const CallOptions& call = {});
  Result<MemberListResponse> member_update(uint64_t id, const std::vector<std::string>& peer_urls,
                                           const CallOptions& call = {});
  Result<MemberListResponse> member_promote(uint64_t id, const CallOptions& call = {});
  Result<AlarmListResponse> alarm_list(const CallOptions& call = {});
  // Ends an alarm, and answers with it if there was one. With no member and no type, it ends all that are listed, one
  // by one, as etcd's clients do; there is then no header.
  Result<AlarmListResponse> alarm_disarm(const Alarm& alarm = {}, const CallOptions& call = {});
  // Hands leadership to a member. Only the leader does it: FailedPrecondition "etcdserver: not leader" from any other.
  Result<MoveLeaderResponse> move_leader(uint64_t member, const CallOptions& call = {});
  Result<DowngradeResponse> downgrade(DowngradeAction action, std::string_view version, const CallOptions& call = {});

  // These ask one member, the one at `endpoint`, which need not be one of endpoints().
  Result<MemberStatus> status(std::string_view endpoint, const CallOptions& call = {});
  // The hash of the history up to `revision` (0: now): equal on all members.
  Result<HashKvResponse> hash_kv(std::string_view endpoint, int64_t revision = 0, const CallOptions& call = {});

  // Has the member rewrite its files, which may take minutes: see CallOptions::timeout.
  Status defragment(std::string_view endpoint, const CallOptions& call = {});
  // A backup of the member that answers, in pieces that `take` gets in their order, on the calling thread; the last one
  // is the SHA-256 of all before. An error of `take` ends it and is returned; so does a stop, as Canceled. Takes as
  // long as it takes, unless `call` says otherwise. Never repeated once the first piece has come.
  Status snapshot(const std::function<Status(const SnapshotPart&)>& take, const CallOptions& call = {},
                  std::stop_token stop = {});

  // Never fails at once: errors come out of the Watcher. See watch.h. Deleting that which is watched is an event, and
  // so is the end of a lease that a key hangs on.
  Watcher watch(std::string_view key, WatchOptions options = {}, WatchCallbacks callbacks = {});

  // A lease of `ttl_s` seconds or a little more. With `id` = 0 the server chooses one; another that is taken is
  // AlreadyExists. Sent again where a read would be, when the server chooses: at worst there is then a second lease
  // that nobody knows and that ends by itself.
  Result<LeaseGrantResponse> lease_grant(int64_t ttl_s, int64_t id = 0, const CallOptions& call = {});
  // Ends a lease and deletes its keys. Sent again like a read: NotFound may so mean that the first was heard.
  Result<LeaseRevokeResponse> lease_revoke(int64_t id, const CallOptions& call = {});
  // Gives a lease its whole TTL again; NotFound when it is over.
  Result<LeaseKeepAliveResponse> lease_keep_alive_once(int64_t id, const CallOptions& call = {});
  // How long a lease has left, and with `keys` the keys that hang on it. No error for a lease that there isn't.
  Result<LeaseTimeToLiveResponse> lease_time_to_live(int64_t id, bool keys = false, const CallOptions& call = {});
  Result<LeaseListResponse> lease_list(const CallOptions& call = {});
  // Keeps a lease alive from now on; see lease.h.
  KeepAlive keep_alive(int64_t lease, KeepAliveOptions options = {});

  const std::vector<std::string>& endpoints() const;

  // A view of the keys under `prefix`: it puts the prefix before every key that it sends, also in transactions, ranges
  // and watches, and takes it off every key that it gets. So what is written for a client works in a part of the key
  // space: sessions, locks, caches and views of the view too. It shares connections, streams and threads with this
  // client, and lives as long as it likes: what is said of the destructor holds for the last of them. Leases, members
  // and maintenance know no prefix; of a lease only the keys under it are told. The empty key is an error.
  std::unique_ptr<Client> in_namespace(std::string_view prefix) const;
  // Of this view, with those of the views that it was made from before it; empty for the whole key space.
  const std::string& namespace_prefix() const;

 private:
  friend class Async;
  Client(std::shared_ptr<Calls> calls, std::shared_ptr<Streams> streams, std::string prefix);

  const std::shared_ptr<Calls> calls_;
  const std::shared_ptr<Streams> streams_;
  const std::unique_ptr<const Namespace> space_;
};

}  // namespace kv::client

namespace kv {
using client::Client;
using client::ClientOptions;
}  // namespace kv
