#include "server/range_stream.h"

#include <algorithm>
#include <utility>

namespace kv::server {
namespace {

using etcdserverpb::RangeStreamResponse;

constexpr int64_t kFirstKeys = 10;  // etcd's: the first answer comes soon
constexpr int64_t kMostKeys = 1 << 20;

class RangeStream : public std::enable_shared_from_this<RangeStream> {
 public:
  RangeStream(CallPtr call, std::unique_ptr<store::RangeCursor> cursor, RangeStreamOptions options,
              std::shared_ptr<Sink<RangeStreamResponse>> sink)
      : call_(std::move(call)), cursor_(std::move(cursor)), options_(std::move(options)), sink_(std::move(sink)) {}

  void step() {
    if (call_->cancelled()) return end();
    RangeStreamResponse response;
    auto* const piece = response.mutable_range_response();
    if (Status bad = cursor_->next(keys_, options_.piece_bytes, piece); !bad.ok()) {
      sink_->finish(std::move(bad));
      return end();
    }
    if (piece->has_header()) options_.fill(piece->mutable_header());
    const bool done = cursor_->done();
    const size_t bytes = response.ByteSizeLong();
    if (!sink_->write(response)) return end();
    if (done) {
      sink_->finish({});
      return end();
    }
    // As etcd: twice the keys after a small piece, half of them after a large one.
    if (bytes < options_.piece_bytes / 2) keys_ = std::min(2 * keys_, kMostKeys);
    if (bytes > 2 * options_.piece_bytes) keys_ = std::max<int64_t>(keys_ / 2, 1);
    sink_->on_drained(options_.piece_bytes, [self = shared_from_this()] { self->post_step(); });
  }

 private:
  // Others have their turn between two pieces.
  void post_step() {
    call_->post([self = shared_from_this()] { self->step(); });
  }
  void end() {
    cursor_.reset();
    sink_.reset();
  }

  const CallPtr call_;
  std::unique_ptr<store::RangeCursor> cursor_;
  const RangeStreamOptions options_;
  std::shared_ptr<Sink<RangeStreamResponse>> sink_;
  int64_t keys_ = kFirstKeys;
};

}  // namespace

void run_range_stream(CallPtr call, std::unique_ptr<store::RangeCursor> cursor, RangeStreamOptions options,
                      std::shared_ptr<Sink<RangeStreamResponse>> sink) {
  std::make_shared<RangeStream>(std::move(call), std::move(cursor), std::move(options), std::move(sink))->step();
}

}  // namespace kv::server
