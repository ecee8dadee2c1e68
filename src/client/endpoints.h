// The endpoints of a client, each with its channel, and the choice between them. Internal: gRPC types are in here.
//
// gRPC's own balancer can't be used: one of its channels has one host name, and ours are a list of names that each
// may need a certificate of its own. So each endpoint has a channel, and the client stays with one until it fails.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "client/client.h"
#include "client/loop.h"
#include "etcdserverpb/rpc.grpc.pb.h"

namespace kv::client {

struct Endpoint {
  std::string name;  // as the user wrote it
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<etcdserverpb::KV::Stub> kv;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch;
  std::unique_ptr<etcdserverpb::Lease::Stub> lease;
  std::unique_ptr<etcdserverpb::Cluster::Stub> cluster;
  std::unique_ptr<etcdserverpb::Maintenance::Stub> maintenance;
  std::unique_ptr<etcdserverpb::Auth::Stub> auth;
};

// Makes endpoints from their names, with one set of options and certificates read once.
class Dialer {
 public:
  static Result<Dialer> create(const ClientOptions& options);

  // Connects to nothing yet.
  Result<std::unique_ptr<Endpoint>> dial(std::string_view name) const;

 private:
  explicit Dialer(const ClientOptions& options) : options_(options) {}

  ClientOptions options_;
  std::string ca_pem_;
  std::string cert_pem_;
  std::string key_pem_;
};

// Endpoints that are being connected, one beside the other, until one is: step by step, and no step blocks.
class Connecting {
 public:
  // Begins with the first of `order`.
  explicit Connecting(std::vector<Endpoint*> order);

  // One that is connected, or null: then another step is due when the state of waiting_for() changes from seen(), and
  // after a moment (kLook) in any case.
  Endpoint* step();
  Endpoint* waiting_for() const { return waiting_for_; }
  grpc_connectivity_state seen() const { return seen_; }

  // Says of each endpoint why it can't be reached.
  Status unreachable() const;

  static constexpr std::chrono::milliseconds kLook{20};

 private:
  std::vector<Endpoint*> order_;
  SteadyTime begin_;
  SteadyTime next_start_;
  size_t started_ = 1;  // the first so many of `order_` are being connected
  Endpoint* waiting_for_ = nullptr;
  grpc_connectivity_state seen_ = GRPC_CHANNEL_IDLE;
};

// Any thread may call any function.
class EndpointSet {
 public:
  EndpointSet(std::vector<std::unique_ptr<Endpoint>> endpoints, std::chrono::milliseconds dial_timeout);

  // A connected endpoint: the one used last when it still is connected, else the first that becomes so. Waits at
  // most the dial timeout and not past `deadline` or a stop; then Unavailable, with every endpoint's own error.
  Result<Endpoint*> pick(SteadyTime deadline, std::stop_token stop = {});

  // The same without waiting: the one used last if it is connected, else null; then connecting(), and prefer() what
  // that finds.
  Endpoint* ready() const;
  Connecting connecting() const;
  void prefer(const Endpoint* endpoint);

  // A call on `endpoint` failed in a way that another endpoint might not: the next pick() begins with another.
  void move_on_from(const Endpoint* endpoint);

  // The endpoint of that name, or null.
  Endpoint* find(std::string_view name) const;

  // As pick(), for one endpoint, which may be a stranger.
  Status connect(Endpoint* endpoint, SteadyTime deadline) const;

  size_t size() const { return endpoints_.size(); }

 private:
  Result<Endpoint*> first_connected(Connecting connecting, SteadyTime deadline, std::stop_token stop = {}) const;

  const std::vector<std::unique_ptr<Endpoint>> endpoints_;
  const std::chrono::milliseconds dial_timeout_;
  std::atomic<size_t> preferred_{0};
};

}  // namespace kv::client
