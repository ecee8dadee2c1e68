#include "conformance/grpc/test_service.h"

#include <deque>
#include <string>
#include <utility>

#include "conformance/grpc/testing.pb.h"

namespace kv::test {
namespace {

using api::Kind;
using api::MessagePtr;
using api::Right;
using api::ServerStream;
using grpc::testing::Empty;
using grpc::testing::ResponseParameters;
using grpc::testing::SimpleRequest;
using grpc::testing::SimpleResponse;
using grpc::testing::StreamingInputCallRequest;
using grpc::testing::StreamingInputCallResponse;
using grpc::testing::StreamingOutputCallRequest;
using grpc::testing::StreamingOutputCallResponse;

constexpr size_t kMaxQueuedBytes = 1 << 20;

void echo_metadata(CallContext& call) {
  for (const auto& [key, value] : call.metadata) {
    if (key == "x-grpc-test-echo-initial") call.response_headers.emplace_back(key, value);
    if (key == "x-grpc-test-echo-trailing-bin") call.response_trailers.emplace_back(key, value);
  }
}

template <typename Request>
Status status_of(const Request& request) {
  if (!request.has_response_status()) return {};
  return {static_cast<Code>(request.response_status().code()), request.response_status().message()};
}

// The answering half of the calls that stream their output. Lives on its call's I/O thread.
class Output : public std::enable_shared_from_this<Output> {
 public:
  Output(std::shared_ptr<ServerStream> stream, Later& later) : stream_(std::move(stream)), later_(later) {}

  void add(const StreamingOutputCallRequest& request) {
    if (Status status = status_of(request); !status.ok()) return stream_->finish(std::move(status));
    for (const ResponseParameters& parameters : request.response_parameters()) todo_.push_back(parameters);
  }
  void end() {
    ended_ = true;
    go_on();
  }
  void go_on() {
    while (!waiting_ && !todo_.empty()) {
      if (todo_.front().interval_us() > 0) {
        waiting_ = true;
        later_.run(std::chrono::microseconds(todo_.front().interval_us()), [self = shared_from_this()] {
          self->stream_->call()->post([self] {
            self->waiting_ = false;
            self->write_first();
            self->go_on();
          });
        });
      } else if (stream_->queued_bytes() > kMaxQueuedBytes) {
        waiting_ = true;
        stream_->on_drained(kMaxQueuedBytes, [self = shared_from_this()] {
          self->waiting_ = false;
          self->go_on();
        });
      } else {
        write_first();
      }
    }
    if (ended_ && todo_.empty() && !waiting_) stream_->finish(Status::ok_status());
  }

 private:
  void write_first() {
    StreamingOutputCallResponse response;
    response.mutable_payload()->set_body(std::string(static_cast<size_t>(todo_.front().size()), '\0'));
    todo_.pop_front();
    if (!stream_->write(response)) todo_.clear();
  }

  const std::shared_ptr<ServerStream> stream_;
  Later& later_;
  std::deque<ResponseParameters> todo_;
  bool waiting_ = false;
  bool ended_ = false;
};

// `at_end`: answers wait until the client has sent all.
void serve_output(std::shared_ptr<ServerStream> stream, Later& later, bool at_end) {
  echo_metadata(*stream->call());
  ServerStream& raw = *stream;
  const auto output = std::make_shared<Output>(std::move(stream), later);
  raw.on_request = [output, at_end](MessagePtr message) {
    output->add(static_cast<const StreamingOutputCallRequest&>(*message));
    if (!at_end) output->go_on();
  };
  raw.on_half_close = [output] { output->end(); };
}

}  // namespace

Later::Later() : thread_([this] { loop(); }) {}

Later::~Later() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Later::run(std::chrono::microseconds after, std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.emplace(std::chrono::steady_clock::now() + after, std::move(work));
  }
  changed_.notify_all();
}

void Later::loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (queue_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto first = queue_.begin();
    if (first->first > std::chrono::steady_clock::now()) {
      changed_.wait_until(lock, first->first);
      continue;
    }
    const auto work = std::move(first->second);
    queue_.erase(first);
    lock.unlock();
    work();
    lock.lock();
  }
}

void add_test_service(api::CallTable& table, Later& later) {
  const std::string service = "/grpc.testing.TestService/";

  table.add(api::unary_row<Empty, Empty>(
      service + "EmptyCall", Right::kOpen,
      [](CallPtr, std::unique_ptr<Empty>, Done<Empty> done) { done(Status::ok_status(), {}); }));

  // Answered from another thread, as a member's calls are.
  table.add(api::unary_row<SimpleRequest, SimpleResponse>(
      service + "UnaryCall", Right::kOpen,
      [&later](CallPtr call, std::unique_ptr<SimpleRequest> request, Done<SimpleResponse> done) {
        echo_metadata(*call);
        auto finish = std::make_shared<Done<SimpleResponse>>(std::move(done));
        later.run({}, [finish, request = std::shared_ptr<SimpleRequest>(std::move(request))] {
          SimpleResponse response;
          response.mutable_payload()->set_body(std::string(static_cast<size_t>(request->response_size()), '\0'));
          (*finish)(status_of(*request), std::move(response));
        });
      }));

  table.add(api::stream_row<StreamingOutputCallRequest, StreamingOutputCallResponse>(
      service + "StreamingOutputCall", Kind::kServerStream, Right::kOpen,
      [&later](std::shared_ptr<ServerStream> stream) { serve_output(std::move(stream), later, false); }));
  table.add(api::stream_row<StreamingOutputCallRequest, StreamingOutputCallResponse>(
      service + "FullDuplexCall", Kind::kBidi, Right::kOpen,
      [&later](std::shared_ptr<ServerStream> stream) { serve_output(std::move(stream), later, false); }));
  table.add(api::stream_row<StreamingOutputCallRequest, StreamingOutputCallResponse>(
      service + "HalfDuplexCall", Kind::kBidi, Right::kOpen,
      [&later](std::shared_ptr<ServerStream> stream) { serve_output(std::move(stream), later, true); }));

  table.add(api::stream_row<StreamingInputCallRequest, StreamingInputCallResponse>(
      service + "StreamingInputCall", Kind::kClientStream, Right::kOpen, [](std::shared_ptr<ServerStream> stream) {
        const auto size = std::make_shared<int32_t>(0);
        ServerStream& raw = *stream;
        raw.on_request = [size](MessagePtr message) {
          const auto& request = static_cast<const StreamingInputCallRequest&>(*message);
          *size += static_cast<int32_t>(request.payload().body().size());
        };
        raw.on_half_close = [size, stream = std::move(stream)] {
          StreamingInputCallResponse response;
          response.set_aggregated_payload_size(*size);
          stream->write(response);
          stream->finish(Status::ok_status());
        };
      }));
}

}  // namespace kv::test
