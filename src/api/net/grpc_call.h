// A gRPC call on an HTTP/2 stream: what unary and streaming calls have in common, and how one is opened.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "api/net/core.h"
#include "api/net/grpc_wire.h"
#include "api/net/http2_session.h"
#include "api/net/io_thread.h"
#include "api/net/timer_wheel.h"
#include "base/status.h"

namespace kv::api {

constexpr std::string_view kAcceptEncoding = "identity,gzip";

// "application/grpc", "application/grpc+proto" and the like.
bool is_grpc(std::string_view content_type);

// The call that `head` asks for (whose strings may be moved away), or why there is none. It belongs to itself from
// Http2Stream::on_start to on_closed, so the session attaches it at once.
Result<Http2Stream*> open_grpc_call(const std::shared_ptr<ServerCore>& core, Http2Session& session, RequestHead& head);

class GrpcCall : public Http2Stream, protected Timer {
 protected:
  struct Origin {
    IoThread& thread;
    const Method& method;
    size_t max_request_bytes;
    size_t max_response_bytes;
    bool gzip_in;   // the request's messages may be compressed
    bool gzip_out;  // so may the answer's
  };
  explicit GrpcCall(const Origin& origin);

  // Any thread. The thread also keeps the ServerCore, and so the method's counters.
  IoThread& thread() const { return *thread_; }
  Result<FrameBytes> frame_of(const google::protobuf::Message& message) const {
    return make_frame(message, max_response_bytes_, gzip_out_ && message.ByteSizeLong() >= kGzipWorthBytes);
  }
  void count_sent(const FrameBytes& frame) const;
  bool gzip_out() const { return gzip_out_; }
  size_t max_response_bytes() const { return max_response_bytes_; }

  // On the I/O thread, as all below.
  Result<MessagePtr> parse(const FrameReader::Frame& frame) const;
  void send_headers(const CallContext& context);
  // In place of headers, a body and trailers.
  void send_trailers_only(const CallContext& context, const Status& status);
  void submit_end(const CallContext& context, const Status& status);
  void arm_deadline(const CallContext& context);
  // Counts the call as handled, once.
  void count(Code code);

  static constexpr size_t kGzipWorthBytes = 1024;  // below, compression costs more than it saves

  const std::shared_ptr<IoThread> thread_;
  const Method& method_;
  FrameReader reader_;

 private:
  const size_t max_request_bytes_;
  const size_t max_response_bytes_;
  const bool gzip_in_;
  const bool gzip_out_;
  const CallTimer timer_;
  bool counted_ = false;

  friend Result<Http2Stream*> open_grpc_call(const std::shared_ptr<ServerCore>&, Http2Session&, RequestHead&);
};

}  // namespace kv::api
