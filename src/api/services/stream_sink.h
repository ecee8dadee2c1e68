// The door's stream as what a member writes to.
#pragma once

#include <memory>
#include <utility>

#include "api/call_table.h"

namespace kv::api {

template <typename Response>
class StreamSink final : public Sink<Response> {
 public:
  explicit StreamSink(std::shared_ptr<ServerStream> stream) : stream_(std::move(stream)) {}

  bool write(const Response& response) override { return stream_->write(response); }
  void finish(Status status) override { stream_->finish(std::move(status)); }
  size_t queued_bytes() const override { return stream_->queued_bytes(); }
  void on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) override {
    stream_->on_drained(below_bytes, std::move(ready));
  }

 private:
  const std::shared_ptr<ServerStream> stream_;
};

}  // namespace kv::api
