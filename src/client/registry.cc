#include "client/registry.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/thread.h"
#include "client/queue.h"
#include "client/range.h"

namespace kv::client {
namespace {

using Json = nlohmann::ordered_json;

// Deeper than any metadata that means something; text of a stranger is not to use up the stack.
constexpr int kDepthMax = 64;
// A registration that is taken off doesn't wait for a cluster that is gone: its lease ends by itself.
constexpr std::chrono::seconds kCleanUp{5};

std::optional<Json> parse(const std::string& text) {
  bool too_deep = false;
  Json json = Json::parse(
      text,
      [&](int depth, Json::parse_event_t, Json&) {
        too_deep = too_deep || depth > kDepthMax;
        return !too_deep;
      },
      false);
  if (too_deep || json.is_discarded()) return std::nullopt;
  return json;
}

std::string prefix_of(std::string_view service) { return std::string(service) + '/'; }

// As etcd's client for Go writes it.
Result<std::string> value_of(const ServiceEndpoint& endpoint) {
  std::optional<Json> metadata = endpoint.metadata.empty() ? Json() : parse(endpoint.metadata);
  if (!metadata) return Status(Code::kInvalidArgument, "the metadata of " + endpoint.address + " is no JSON");
  try {
    return Json{{"Op", 0}, {"Addr", endpoint.address}, {"Metadata", *std::move(metadata)}}.dump();
  } catch (const Json::exception&) {
    return Status(Code::kInvalidArgument, "an address and its metadata must be UTF-8");
  }
}

std::optional<ServiceEndpoint> endpoint_of(const KeyValue& kv, const std::string& prefix) {
  const auto json = parse(kv.value);
  if (!json || !json->is_object()) return std::nullopt;
  const auto address = json->find("Addr");
  if (address == json->end() || !address->is_string()) return std::nullopt;
  ServiceEndpoint endpoint{.id = kv.key.substr(prefix.size()), .address = address->get<std::string>()};
  if (const auto metadata = json->find("Metadata"); metadata != json->end() && !metadata->is_null()) {
    endpoint.metadata = metadata->dump();
  }
  return endpoint;
}

void add(std::vector<ServiceEndpoint>& to, const KeyValue& kv, const std::string& prefix) {
  if (auto endpoint = endpoint_of(kv, prefix)) to.push_back(*std::move(endpoint));
}

std::vector<ServiceEndpoint> endpoints_in(const Cache& cache, const std::string& prefix) {
  std::vector<ServiceEndpoint> all;
  for (const KeyValue& kv : cache.list()) add(all, kv, prefix);
  return all;
}

}  // namespace

Result<std::vector<ServiceEndpoint>> resolve(Client& client, std::string_view service, const CallOptions& call) {
  const std::string prefix = prefix_of(service);
  std::vector<ServiceEndpoint> all;
  Range range(client, prefix, {.range_end = prefix_end(prefix), .call = call});
  for (const KeyValue& kv : range) add(all, kv, prefix);
  if (!range.status().ok()) return range.status();
  return all;
}

Result<std::unique_ptr<Registration>> Registration::create(Client& client, std::string_view service,
                                                           ServiceEndpoint endpoint, RegistrationOptions options) {
  if (service.empty()) return Status(Code::kInvalidArgument, "a service needs a name");
  if (endpoint.address.empty()) return Status(Code::kInvalidArgument, "an endpoint needs an address");
  auto value = value_of(endpoint);
  if (!value.ok()) return value.status();
  std::string key = prefix_of(service) + (endpoint.id.empty() ? endpoint.address : endpoint.id);
  std::unique_ptr<Registration> made(new Registration(client, std::move(key), *std::move(value), std::move(options)));
  auto alive = made->put({});
  if (!alive.ok()) return alive.status();
  made->alive_ = std::make_unique<KeepAlive>(*std::move(alive));
  made->thread_ = std::jthread([at = made.get()](const std::stop_token& stop) {
    name_this_thread("kv-registration");
    at->keep(stop);
  });
  return made;
}

Registration::Registration(Client& client, std::string key, std::string value, RegistrationOptions options)
    : client_(client), key_(std::move(key)), value_(std::move(value)), options_(std::move(options)) {}

Registration::~Registration() { (void)close(); }

Status Registration::close() {
  if (!thread_.joinable()) return {};
  thread_.request_stop();
  thread_.join();
  const std::lock_guard lock(mutex_);
  const int64_t lease = alive_->lease();
  if (!status_.ok()) return {};
  status_ = Status(Code::kCanceled, "the registration is closed");
  const Status revoked = client_.lease_revoke(lease, call_within(at_most(kCleanUp))).status();
  return revoked.code() == Code::kNotFound ? Status() : revoked;
}

int64_t Registration::lease() const {
  const std::lock_guard lock(mutex_);
  return alive_->lease();
}

Status Registration::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

Result<KeepAlive> Registration::put(const CallOptions& call) {
  const auto granted = client_.lease_grant(options_.ttl_s, 0, call);
  if (!granted.ok()) return granted.status();
  KeepAlive alive = client_.keep_alive(granted->id, {.ttl_s = granted->ttl_s});
  // Without an answer the key may be there: it goes with its lease.
  const auto put = client_.put(key_, value_, {.lease = granted->id}, call);
  if (put.ok()) return alive;
  (void)client_.lease_revoke(granted->id, call);
  return put.status();
}

void Registration::keep(const std::stop_token& stop) {
  const Wait wait{.stop = stop};
  for (;;) {
    if (!alive_->wait_lost(wait).ok()) return;
    set(*alive_->why_lost());
    // Whatever it is that stands in the way: it may go away, and nobody else registers this endpoint.
    for (;;) {
      auto alive = put({});
      if (alive.ok()) {
        const std::lock_guard lock(mutex_);
        *alive_ = *std::move(alive);
        break;
      }
      if (!pause_within(wait).ok()) return;
    }
    set({});
  }
}

void Registration::set(Status status) {
  {
    const std::lock_guard lock(mutex_);
    status_ = status;
  }
  if (options_.on_status) options_.on_status(status);
}

Result<std::unique_ptr<Resolver>> Resolver::create(Client& client, std::string_view service, ResolverOptions options) {
  std::unique_ptr<Resolver> made(new Resolver(prefix_of(service)));
  CacheOptions cache{.on_end = std::move(options.on_end)};
  if (options.on_change) {
    cache.on_change = [prefix = made->prefix_, tell = std::move(options.on_change)](
                          const Cache& at, const std::vector<Event>&) { tell(endpoints_in(at, prefix)); };
  }
  auto cached = Cache::create(client, made->prefix_, std::move(cache));
  if (!cached.ok()) return cached.status();
  made->cache_ = *std::move(cached);
  return made;
}

std::vector<ServiceEndpoint> Resolver::endpoints() const { return endpoints_in(*cache_, prefix_); }

}  // namespace kv::client
