// A unary call: one object from its head to its last byte, shared by the stream and whoever works on it.
#pragma once

#include <memory>

#include "api/net/grpc_call.h"

namespace kv::api {

class GrpcUnaryCall final : public CallContext, public GrpcCall, public std::enable_shared_from_this<GrpcUnaryCall> {
 public:
  explicit GrpcUnaryCall(const Origin& origin) : GrpcCall(origin) {}

  // Until on_closed(). `self` is this.
  void keep(std::shared_ptr<GrpcUnaryCall> self) { self_ = std::move(self); }

  void post(absl::AnyInvocable<void()> work) override { thread().post(std::move(work)); }

  void on_start() override;
  void on_data(std::string_view bytes) override;
  void on_end() override;
  void on_closed() override;
  std::pair<size_t, Next> produce(char* into, size_t room) override;

 private:
  class Finisher;

  void on_timer() override;
  // Any thread, once: serialises, and hands over to the I/O thread.
  void finish(Status status, const google::protobuf::Message* response);
  // On the I/O thread: sends what finish() made, unless the call has been answered or has gone.
  void deliver();
  void refuse(const Status& status);

  std::shared_ptr<GrpcUnaryCall> self_;

  // The I/O thread's.
  MessagePtr request_;
  size_t held_request_bytes_ = 0;
  bool answered_ = false;
  size_t sent_bytes_ = 0;

  // The finisher's, until it posts deliver(); then the I/O thread's.
  Status status_;
  FrameBytes frame_;
};

}  // namespace kv::api
