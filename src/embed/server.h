// A whole kvd member inside this process: for tests, and for programs that carry their own store.
//
//   auto server = kv::Server::start();                  // alone, free ports, data in a temporary directory
//   if (!server.ok()) return server.status();
//   auto client = kv::Client::create({.endpoints = {(*server)->endpoint()}});
//
// It is what the daemon runs: the same log, state and doors. Any client of etcd, on this machine or another, may use
// it as long as it lives. Several members in one process can be a cluster (start_cluster()).
//
// A member costs about ten threads, a few megabytes of memory, and what its buffers and caches may grow to. The process
// should ignore SIGPIPE, as all that talk on sockets should. What it logs goes to standard error; base/log.h has the
// level.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace kv::embed {

// Files in PEM, under the names of kvd's flags (docs/operations.md).
struct ServerTls {
  std::string cert_file{};
  std::string key_file{};
  std::string trusted_ca_file{};  // who dials must show a certificate that one of these has signed
  bool client_cert_auth = false;  // client port: and the certificate's CN is the user who asks
};

struct ServerOptions {
  std::string name = "default";  // unique in its cluster
  // Made when it isn't there, and kept. Empty: a temporary directory, which goes with the object.
  std::string data_dir{};

  // Where clients and other members are served. With port 0 a free port is chosen: see client_url(), peer_url(). A
  // member whose peer URL changes from start to start can only be alone. https needs the TLS below.
  std::string client_url = "http://127.0.0.1:0";
  std::string peer_url = "http://127.0.0.1:0";
  ServerTls client_tls{};
  ServerTls peer_tls{};

  // Name -> peer URLs of all first members, this one among them. Empty: this one alone. Read only when the data
  // directory is new.
  std::map<std::string, std::vector<std::string>> initial_cluster{};
  bool join_existing = false;  // the cluster was told of this member (Client::member_add): never begin a new one

  int64_t heartbeat_interval_ms = 100;
  int64_t election_timeout_ms = 1000;
  size_t write_buffer_bytes = 16 << 20;
  size_t block_cache_bytes = 32 << 20;
  int64_t auth_token_ttl_ms = 300'000;  // of a token that is not used
  int bcrypt_cost = 10;                 // 4 to 31
  // Don't wait for the disk: quicker, for tests; a crash of the machine LOSES writes, and a cluster with such a member
  // is none that Raft promises anything of.
  bool unsafe_no_fsync = false;

  // How long start() waits until the member knows a leader, and so can serve. 0: not at all.
  std::chrono::milliseconds ready_timeout{30'000};

  // Called once, from one of the member's threads, when the member can't go on: its disk failed, its state is damaged, or
  // it was removed from its cluster. It answers nothing from then on. May not stop or destroy the server.
  std::function<void(const Status&)> on_failed{};
};

// Any thread may call any function but the destructor.
class Server {
 public:
  // Serves when it returns. InvalidArgument for options that contradict each other or the data directory, Unavailable
  // for an address or directory in use, DataLoss for a damaged one, DeadlineExceeded when there was no leader in time.
  static Result<std::unique_ptr<Server>> start(ServerOptions options = {});

  // A new cluster of `members` in this process, on free ports, named after `options.name` with 1, 2, ... behind it, each
  // with its data under `options.data_dir`, or all in temporary directories. Ready when it returns.
  static Result<std::vector<std::unique_ptr<Server>>> start_cluster(size_t members, const ServerOptions& options = {});

  // As stop().
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Gives calls in flight a moment to end and hands leadership over; then closes all connections. Takes a second or
  // so at most. Only the first call does something.
  void stop();

  // Ok once the member knows a leader; DeadlineExceeded when it doesn't in time.
  Status wait_ready(std::chrono::milliseconds timeout) const;

  // What was chosen: "http://127.0.0.1:40123" and, for ClientOptions::endpoints, the same.
  const std::string& client_url() const { return options_.client_url; }
  const std::string& endpoint() const { return options_.client_url; }
  const std::string& peer_url() const { return options_.peer_url; }
  const std::string& data_dir() const { return options_.data_dir; }
  const std::string& name() const { return options_.name; }

  uint64_t id() const { return id_; }
  uint64_t leader() const;  // 0: none known, or stopped
  bool is_leader() const { return leader() == id_; }

  // Why the member can't go on, if it can't.
  std::optional<Status> failure() const;

 private:
  struct Parts;
  Server(ServerOptions options, std::unique_ptr<Parts> parts);

  ServerOptions options_;  // with the ports and the directory that were chosen
  const std::unique_ptr<Parts> parts_;
  uint64_t id_ = 0;
};

}  // namespace kv::embed

namespace kv {
using embed::Server;
using embed::ServerOptions;
}  // namespace kv
