// Who offers a service, and where: programs register themselves, others find them and hear when that changes.
//
//   auto here = Registration::create(client, "services/mail", {.address = "10.0.0.7:25"});        // in the server
//
//   auto mail = Resolver::create(client, "services/mail", {.on_change = [](const auto& who) { ... }});  // in its
//   clients for (const ServiceEndpoint& one : (*mail)->endpoints()) connect(one.address);
//
// Keys and values are those of etcd's client/v3/naming/endpoints: <service>/<id> holds
// {"Op":0,"Addr":"10.0.0.7:25","Metadata":null}. So gRPC in Go with etcd's resolver finds what is registered here, and
// the other way round.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"
#include "client/cache.h"
#include "client/client.h"

namespace kv::client {

struct ServiceEndpoint {
  std::string id{};  // what it is called in its service; when it is registered, empty stands for the address
  std::string address{};
  std::string metadata{};  // JSON, whatever service and clients have agreed on; empty: none

  bool operator==(const ServiceEndpoint&) const = default;
};

// Who is registered for `service` now, ordered by id. Values that are no endpoints are left out.
Result<std::vector<ServiceEndpoint>> resolve(Client& client, std::string_view service, const CallOptions& call = {});

struct RegistrationOptions {
  int64_t ttl_s = 10;  // how long after this program's death it is still found
  // When the lease was lost, and when the endpoint is registered anew (an ok Status). On the registration's thread; may
  // not destroy the registration.
  std::function<void(const Status&)> on_status{};
};

// Keeps an endpoint registered for as long as this object lives, by a lease. When that is lost, because no member could
// be reached for a TTL, the endpoint is registered again as soon as one can. Has one thread. Any thread may call any
// function but close() and the destructor; the client must outlive it.
class Registration {
 public:
  // Registered when it returns. Replaces what is registered under the same id. InvalidArgument for metadata that is no
  // JSON, an empty address or service, and text that is no UTF-8; else fails as a call does.
  static Result<std::unique_ptr<Registration>> create(Client& client, std::string_view service,
                                                      ServiceEndpoint endpoint, RegistrationOptions options = {});
  // As close(), whose answer is lost.
  ~Registration();
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

  // Takes the endpoint off. Only the first call does something. Waits for a request that is under way.
  Status close();

  const std::string& key() const { return key_; }
  int64_t lease() const;
  // Ok while it is registered, else why it isn't.
  Status status() const;

 private:
  Registration(Client& client, std::string key, std::string value, RegistrationOptions options);

  Result<KeepAlive> put(const CallOptions& call);
  void keep(const std::stop_token& stop);
  void set(Status status);

  Client& client_;
  const std::string key_;
  const std::string value_;
  const RegistrationOptions options_;

  mutable std::mutex mutex_{};  // guards the two below
  std::unique_ptr<KeepAlive> alive_{};
  Status status_{};

  std::jthread thread_{};
};

struct ResolverOptions {
  // Who is registered after something has changed. On the resolver's thread, see CacheOptions; the first may come
  // before create() has returned.
  std::function<void(const std::vector<ServiceEndpoint>&)> on_change{};
  // It is no longer kept current; the last call.
  std::function<void(const Status&)> on_end{};
};

// Knows at all times who is registered for a service: see Cache, which it is made of.
class Resolver {
 public:
  static Result<std::unique_ptr<Resolver>> create(Client& client, std::string_view service,
                                                  ResolverOptions options = {});

  // Ordered by id; from memory. What was known last, while no member can be reached.
  std::vector<ServiceEndpoint> endpoints() const;
  const Cache& cache() const { return *cache_; }

 private:
  explicit Resolver(std::string prefix) : prefix_(std::move(prefix)) {}

  const std::string prefix_;
  std::unique_ptr<Cache> cache_{};
};

}  // namespace kv::client
