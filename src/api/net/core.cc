#include "api/net/core.h"

#include <chrono>
#include <utility>

#include "base/metrics.h"

namespace kv::api {
namespace {

// All servers of this process together.
std::atomic<int64_t> g_connections{0};
Gauge& connections_gauge() {
  static Gauge& gauge = Metrics::global().gauge("kvd_client_connections", "Client connections that are open.");
  return gauge;
}

}  // namespace

ServerCore::ServerCore(ServerOptions o, const CallTable& table, std::vector<Route> r)
    : options(std::move(o)), routes(std::move(r)), access(options.cors, options.host_whitelist) {
  for (const auto& row : table.rows()) methods.emplace(row->path, method_of(*row));
}

ServerCore::~ServerCore() = default;

bool ServerCore::has_service(std::string_view path) const {
  const std::string_view service = path.substr(0, path.rfind('/') + 1);  // "/package.Service/"
  for (const auto& [known, method] : methods) {
    if (known.starts_with(service)) return true;
  }
  return false;
}

void ServerCore::connection_opened() {
  connections.fetch_add(1, std::memory_order_relaxed);
  connections_gauge().set(static_cast<double>(g_connections.fetch_add(1, std::memory_order_relaxed) + 1));
}

void ServerCore::connection_closed() {
  if (connections.fetch_sub(1, std::memory_order_relaxed) == 1) {
    const std::lock_guard lock(mutex_);
    last_closed_.notify_all();
  }
  connections_gauge().set(static_cast<double>(g_connections.fetch_sub(1, std::memory_order_relaxed) - 1));
}

void ServerCore::wait_for_no_connections(int64_t timeout_ms) {
  std::unique_lock lock(mutex_);
  last_closed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                        [this] { return connections.load(std::memory_order_relaxed) == 0; });
}

}  // namespace kv::api
