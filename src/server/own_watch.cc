#include "server/own_watch.h"

#include <atomic>
#include <utility>

#include "server/watch_stream.h"

namespace kv::server {
namespace {

using etcdserverpb::WatchResponse;

// Takes what comes as fast as it comes.
class Responses final : public WatchStream::Responses {
 public:
  explicit Responses(OwnWatch::OnResponse on_response) : on_response_(std::move(on_response)) {}

  bool write(const WatchResponse& response) override {
    if (closed_.load()) return false;
    if (response.canceled() || response.events_size() > 0) on_response_(Status(), &response);
    return true;
  }
  void finish(Status status) override {
    if (!closed_.exchange(true)) on_response_(status, nullptr);
  }
  size_t queued_bytes() const override { return 0; }
  void on_drained(size_t, absl::AnyInvocable<void()> ready) override { ready(); }

  void close() { closed_.store(true); }

 private:
  const OwnWatch::OnResponse on_response_;  // goes with the last who holds this, which is the hub
  std::atomic<bool> closed_{false};
};

class StreamedWatch final : public OwnWatch {
 public:
  StreamedWatch(Member& member, CallPtr call, std::shared_ptr<Responses> responses)
      : responses_(std::move(responses)), stream_(member.watch(std::move(call), responses_)) {}
  ~StreamedWatch() override { responses_->close(); }

  void request(etcdserverpb::WatchCreateRequest&& create) {
    if (!stream_) return;  // refused, and told so
    etcdserverpb::WatchRequest request;
    *request.mutable_create_request() = std::move(create);
    stream_->request(request);
  }

 private:
  const std::shared_ptr<Responses> responses_;
  const std::unique_ptr<WatchStream> stream_;
};

}  // namespace

std::unique_ptr<OwnWatch> OwnWatch::start(Member& member, CallPtr call, etcdserverpb::WatchCreateRequest request,
                                          OnResponse on_response) {
  auto watch = std::make_unique<StreamedWatch>(member, std::move(call),
                                               std::make_shared<Responses>(std::move(on_response)));
  watch->request(std::move(request));
  return watch;
}

}  // namespace kv::server
