// A server on a port of its own, with gRPC's test service and a few calls that a test holds in its hand.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/net/server.h"
#include "api/raw_peer.h"
#include "base/metrics.h"
#include "conformance/grpc/test_service.h"
#include "conformance/grpc/testing.pb.h"

namespace kv::test {

// A call of /kvd.test.Door/Hold, which is answered when the test says so.
struct HeldCall {
  CallPtr call;
  Done<grpc::testing::SimpleResponse> done;
};

// What the handler of /kvd.test.Door/Stream has seen; filled on the I/O thread.
struct OpenStream {
  std::shared_ptr<api::ServerStream> stream;
  std::vector<std::string> requests;  // the payloads' bodies
  bool half_closed = false;
  bool cancelled = false;
};

class NetTest : public ::testing::Test {
 protected:
  NetTest();
  ~NetTest() override;

  // With options_ and routes_ as they are then.
  void start();
  uint16_t port() const { return port_; }

  // Waits until `condition`, which is called under the fixture's lock; false after kPatienceMs.
  bool eventually(const std::function<bool()>& condition);
  // The next call of Hold, in the order of arrival.
  HeldCall take_held();
  // The n-th stream that was opened.
  std::shared_ptr<OpenStream> stream(size_t n);
  // Runs `look` under the lock that guards OpenStream's fields.
  void locked(const std::function<void()>& look);

  // The value of a counter of that method, e.g. ("grpc_server_handled_total", "UnaryCall", "OK").
  static uint64_t handled(const std::string& service, const std::string& method, const std::string& type,
                          const std::string& code);

  api::ServerOptions options_;
  std::vector<api::Route> routes_;
  api::CallTable table_{nullptr};
  std::unique_ptr<api::Server> server_;

 private:
  void add_door_rows();

  Later later_;
  uint16_t port_ = 0;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::vector<HeldCall> held_;
  size_t held_taken_ = 0;
  std::vector<std::shared_ptr<OpenStream>> streams_;
};

constexpr const char* kHold = "/kvd.test.Door/Hold";
constexpr const char* kStream = "/kvd.test.Door/Stream";
constexpr const char* kEmptyCall = "/grpc.testing.TestService/EmptyCall";
constexpr const char* kUnaryCall = "/grpc.testing.TestService/UnaryCall";

// A framed SimpleRequest that asks for a response of `response_size` and carries `payload_size` bytes.
std::string simple_request(int32_t response_size, size_t payload_size = 0);
// A framed StreamingOutputCallRequest with a payload.
std::string stream_request(const std::string& payload);
// A SimpleResponse / StreamingOutputCallResponse of that size.
grpc::testing::SimpleResponse simple_response(size_t size);
grpc::testing::StreamingOutputCallResponse stream_response(size_t size);

}  // namespace kv::test
