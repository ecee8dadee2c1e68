#include "api/net_fixture.h"

#include <chrono>
#include <utility>

namespace kv::test {

using api::Kind;
using api::MessagePtr;
using api::Right;
using grpc::testing::SimpleRequest;
using grpc::testing::SimpleResponse;
using grpc::testing::StreamingOutputCallRequest;
using grpc::testing::StreamingOutputCallResponse;

NetTest::NetTest() {
  options_.listen_urls = {"http://127.0.0.1:0"};
  add_test_service(table_, later_);
  add_door_rows();
  routes_.push_back({"GET", "/version", [](auto, auto reply) { reply({.body = "one\n"}); }});
  routes_.push_back(
      {"", "/echo/*", [](std::shared_ptr<api::HttpRequest> request, auto reply) {
         reply({.body = request->method + " " + request->path + "?" + request->query + " " + request->body});
       }});
  routes_.push_back(
      {"GET", "/later", [this](auto, auto reply) {
         later_.run({}, [reply = std::make_shared<decltype(reply)>(std::move(reply))] { (*reply)({.body = "later"}); });
       }});
}

NetTest::~NetTest() {
  {
    // Streams hold their calls, which hold the server's threads.
    const std::lock_guard lock(mutex_);
    for (const auto& open : streams_) open->stream = nullptr;
  }
  server_.reset();
}

void NetTest::start() {
  auto server = api::Server::listen(options_, table_, routes_);
  ASSERT_TRUE(server.ok()) << server.status().to_string();
  server_ = *std::move(server);
  server_->start();
  port_ = server_->bound_ports().at(0);
}

void NetTest::add_door_rows() {
  table_.add(api::unary_row<SimpleRequest, SimpleResponse>(
      kHold, Right::kOpen, [this](CallPtr call, std::unique_ptr<SimpleRequest>, Done<SimpleResponse> done) {
        const std::lock_guard lock(mutex_);
        held_.push_back({std::move(call), std::move(done)});
        changed_.notify_all();
      }));
  table_.add(api::unary_row<SimpleRequest, SimpleResponse>(
      "/kvd.test.Door/Post", Right::kOpen, [](CallPtr call, std::unique_ptr<SimpleRequest>, Done<SimpleResponse> done) {
        CallContext& context = *call;
        context.post([call = std::move(call), done = std::move(done)]() mutable { done({}, simple_response(3)); });
      }));
  table_.add(api::unary_row<SimpleRequest, SimpleResponse>(
      "/kvd.test.Door/Drop", Right::kOpen,
      [](CallPtr, std::unique_ptr<SimpleRequest>, Done<SimpleResponse> done) { done = nullptr; }));
  table_.add(api::stream_row<StreamingOutputCallRequest, StreamingOutputCallResponse>(
      kStream, Kind::kBidi, Right::kOpen, [this](std::shared_ptr<api::ServerStream> stream) {
        const auto open = std::make_shared<OpenStream>();
        stream->on_request = [this, open](MessagePtr message) {
          const std::lock_guard lock(mutex_);
          open->requests.push_back(static_cast<const StreamingOutputCallRequest&>(*message).payload().body());
          if (open->requests.back() == "pause") open->stream->pause_reading();
          changed_.notify_all();
        };
        stream->on_half_close = [this, open] {
          const std::lock_guard lock(mutex_);
          open->half_closed = true;
          changed_.notify_all();
        };
        stream->on_cancel = [this, open] {
          const std::lock_guard lock(mutex_);
          open->cancelled = true;
          changed_.notify_all();
        };
        const std::lock_guard lock(mutex_);
        open->stream = std::move(stream);
        streams_.push_back(open);
        changed_.notify_all();
      }));
}

bool NetTest::eventually(const std::function<bool()>& condition) {
  std::unique_lock lock(mutex_);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    // Not all that is waited for tells this condition variable.
    changed_.wait_for(lock, std::chrono::milliseconds(5));
  }
  return true;
}

HeldCall NetTest::take_held() {
  if (!eventually([this] { return held_taken_ < held_.size(); })) {
    ADD_FAILURE() << "no call came";
    return {};
  }
  const std::lock_guard lock(mutex_);
  return std::move(held_[held_taken_++]);
}

std::shared_ptr<OpenStream> NetTest::stream(size_t n) {
  if (!eventually([&] { return n < streams_.size(); })) {
    ADD_FAILURE() << "no stream came";
    return nullptr;
  }
  const std::lock_guard lock(mutex_);
  return streams_[n];
}

void NetTest::locked(const std::function<void()>& look) {
  const std::lock_guard lock(mutex_);
  look();
}

uint64_t NetTest::handled(const std::string& service, const std::string& method, const std::string& type,
                          const std::string& code) {
  return Metrics::global()
      .counter("grpc_server_handled_total", "",
               {{"grpc_service", service}, {"grpc_method", method}, {"grpc_type", type}, {"grpc_code", code}})
      .value();
}

std::string simple_request(int32_t response_size, size_t payload_size) {
  SimpleRequest request;
  request.set_response_size(response_size);
  if (payload_size > 0) request.mutable_payload()->set_body(std::string(payload_size, 'x'));
  return grpc_frame(request.SerializeAsString());
}

std::string stream_request(const std::string& payload) {
  StreamingOutputCallRequest request;
  request.mutable_payload()->set_body(payload);
  return grpc_frame(request.SerializeAsString());
}

SimpleResponse simple_response(size_t size) {
  SimpleResponse response;
  response.mutable_payload()->set_body(std::string(size, 'y'));
  return response;
}

StreamingOutputCallResponse stream_response(size_t size) {
  StreamingOutputCallResponse response;
  response.mutable_payload()->set_body(std::string(size, 'z'));
  return response;
}

}  // namespace kv::test
