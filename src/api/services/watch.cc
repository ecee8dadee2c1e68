// Watch as a row of the call table: requests to the member's watch stream, its responses to the door.
#include "api/services/services.h"
#include "server/watch_stream.h"

namespace kv::api {
namespace {

using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;
using server::WatchStream;

class Responses final : public WatchStream::Responses {
 public:
  explicit Responses(std::shared_ptr<ServerStream> stream) : stream_(std::move(stream)) {}

  bool write(const WatchResponse& response) override { return stream_->write(response); }
  bool write_encoded(std::string_view own, std::shared_ptr<const void> owner, std::string_view shared) override {
    return stream_->write_encoded(WatchResponse::default_instance(), own, std::move(owner), shared);
  }
  void finish(Status status) override { stream_->finish(std::move(status)); }
  size_t queued_bytes() const override { return stream_->queued_bytes(); }
  void on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) override {
    stream_->on_drained(below_bytes, std::move(ready));
  }

 private:
  const std::shared_ptr<ServerStream> stream_;
};

}  // namespace

void add_watch(CallTable& table, server::Member& member) {
  table.add(stream_row<WatchRequest, WatchResponse>(
      "/etcdserverpb.Watch/Watch", Kind::kBidi, Right::kEach, [&member](std::shared_ptr<ServerStream> stream) {
        const std::shared_ptr<WatchStream> watches = member.watch(stream->call(), std::make_shared<Responses>(stream));
        if (!watches) return;  // refused, and told so
        // The door drops its callbacks when the call is over, and with them all watches.
        stream->on_request = [watches, door = stream.get(), keep = std::weak_ptr(stream)](MessagePtr message) {
          watches->request(static_cast<const WatchRequest&>(*message));
          if (watches->waiting() < WatchStream::kWaitingMax) return;
          door->pause_reading();
          watches->when_waiting(WatchStream::kWaitingMax / 2, [keep] {
            if (const auto kept = keep.lock()) kept->resume_reading();
          });
        };
        // A client that sends no more may still read, as with etcd: nothing happens at its half-close.
        stream->on_cancel = [watches] { watches->end({Code::kCanceled, "etcdserver: watch canceled"}); };
      }));
}

}  // namespace kv::api
