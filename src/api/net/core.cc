#include "api/net/core.h"

#include <chrono>
#include <utility>

#include "base/status.h"

namespace kv::api {
namespace {

std::string_view type_name(Kind kind) {
  switch (kind) {
    case Kind::kUnary: return "unary";
    case Kind::kServerStream: return "server_stream";
    case Kind::kClientStream: return "client_stream";
    case Kind::kBidi: return "bidi_stream";
  }
  return "unary";
}

Method method_of(const Row& row) {
  const size_t slash = row.path.rfind('/');
  MetricLabels labels{{"grpc_service", row.path.substr(1, slash - 1)},
                      {"grpc_method", row.path.substr(slash + 1)},
                      {"grpc_type", std::string(type_name(row.kind))}};
  Metrics& metrics = Metrics::global();
  Method method{.row = &row};
  method.started = &metrics.counter("grpc_server_started_total", "Total number of RPCs started on the server.", labels);
  method.received = &metrics.counter("grpc_server_msg_received_total",
                                     "Total number of RPC stream messages received on the server.", labels);
  method.sent = &metrics.counter("grpc_server_msg_sent_total",
                                 "Total number of gRPC stream messages sent by the server.", labels);
  method.received_bytes = &metrics.counter("etcd_network_client_grpc_received_bytes_total",
                                           "The total number of bytes received from grpc clients.");
  method.sent_bytes =
      &metrics.counter("etcd_network_client_grpc_sent_bytes_total", "The total number of bytes sent to grpc clients.");
  for (size_t code = 0; code < kCodes; ++code) {
    labels["grpc_code"] = std::string(code_name(static_cast<Code>(code)));
    method.handled[code] =
        &metrics.counter("grpc_server_handled_total",
                         "Total number of RPCs completed on the server, regardless of success or failure.", labels);
  }
  return method;
}

// All servers of this process together.
std::atomic<int64_t> g_connections{0};
Gauge& connections_gauge() {
  static Gauge& gauge = Metrics::global().gauge("kvd_client_connections", "Client connections that are open.");
  return gauge;
}

}  // namespace

ServerCore::ServerCore(ServerOptions o, const CallTable& table, std::vector<Route> r)
    : options(std::move(o)), routes(std::move(r)) {
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
