#include "api/method.h"

#include <string>
#include <string_view>

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

}  // namespace

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
  // The buckets are go-grpc-prometheus's, which are the Prometheus client's.
  method.handling = &metrics.histogram("grpc_server_handling_seconds",
                                       "Histogram of response latency (seconds) of gRPC that had been "
                                       "application-level handled by the server.",
                                       {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, labels);
  for (size_t code = 0; code < kCodes; ++code) {
    labels["grpc_code"] = std::string(code_name(static_cast<Code>(code)));
    method.handled[code] =
        &metrics.counter("grpc_server_handled_total",
                         "Total number of RPCs completed on the server, regardless of success or failure.", labels);
  }
  return method;
}

}  // namespace kv::api
