#include "api/guarded.h"

#include <mutex>
#include <optional>
#include <utility>

namespace kv::api {
namespace {

using StreamHandler = std::function<void(std::shared_ptr<ServerStream>)>;

// A stream that waits at the gate. A token that was issued by another member a moment ago must be waited for; what the
// client sends meanwhile is kept. Reading stops at once, so that is what has been read already, and no more.
class WaitingStream : public std::enable_shared_from_this<WaitingStream> {
 public:
  explicit WaitingStream(const std::shared_ptr<ServerStream>& stream) : stream_(stream) {}

  // All callbacks of the stream come on its door's thread, and so does what is posted: nothing here needs a lock.
  void take_callbacks() {
    const auto self = shared_from_this();
    const auto stream = stream_.lock();
    stream->pause_reading();
    stream->on_request = [self](MessagePtr message) { self->requests_.push_back(std::move(message)); };
    stream->on_half_close = [self] { self->half_closed_ = true; };
    stream->on_cancel = [self] { self->cancelled_ = true; };
  }

  void go_on(const StreamHandler& handler, const Status& admitted) {
    const auto self = shared_from_this();  // the callbacks, which are replaced now, may be the last to hold it
    const auto stream = stream_.lock();
    if (cancelled_ || !stream) return;
    stream->on_request = nullptr;
    stream->on_half_close = nullptr;
    stream->on_cancel = nullptr;
    if (!admitted.ok()) return stream->finish(admitted);
    handler(stream);
    for (MessagePtr& message : requests_)
      if (stream->on_request) stream->on_request(std::move(message));
    if (half_closed_ && stream->on_half_close) stream->on_half_close();
    stream->resume_reading();
  }

 private:
  const std::weak_ptr<ServerStream> stream_;
  std::vector<MessagePtr> requests_;
  bool half_closed_ = false;
  bool cancelled_ = false;
};

void start_guarded(Gate& gate, Right right, const StreamHandler& handler, const std::shared_ptr<ServerStream>& stream) {
  // The answer mostly comes before admit() returns. Then the handler sets the callbacks, as if there were no gate; it
  // must do so before this returns.
  struct Wait {
    std::mutex mutex;
    bool waits = false;            // ... on
    std::optional<Status> answer;  // that came at once
  };
  const auto wait = std::make_shared<Wait>();
  const auto waiting = std::make_shared<WaitingStream>(stream);
  gate.admit(stream->call(), right, [wait, waiting, handler, call = stream->call()](Status admitted) {
    {
      const std::lock_guard lock(wait->mutex);
      if (!wait->waits) {
        wait->answer = std::move(admitted);
        return;
      }
    }
    call->post([waiting, handler, admitted = std::move(admitted)] { waiting->go_on(handler, admitted); });
  });
  std::optional<Status> answer;
  {
    const std::lock_guard lock(wait->mutex);
    answer = std::move(wait->answer);
    wait->waits = !answer;
    if (wait->waits) waiting->take_callbacks();
  }
  if (!answer) return;
  if (!answer->ok()) return stream->finish(*std::move(answer));
  handler(stream);
}

}  // namespace

void guard(Row* row, Gate& gate) {
  if (row->kind == Kind::kUnary) {
    row->unary = [&gate, right = row->right, right_for = row->right_for, handler = std::move(row->unary)](
                     CallPtr call, MessagePtr request, UnaryDone done) {
      if (!gate.closed()) return handler(std::move(call), std::move(request), std::move(done));
      const Right needed = right_for ? right_for(*request) : right;
      CallPtr same = call;
      gate.admit(std::move(same), needed,
                 [&handler, call = std::move(call), request = std::move(request),
                  done = std::move(done)](Status admitted) mutable {
                   if (!admitted.ok()) return done(std::move(admitted), nullptr);
                   handler(std::move(call), std::move(request), std::move(done));
                 });
    };
    return;
  }
  row->stream = [&gate, right = row->right, handler = std::move(row->stream)](std::shared_ptr<ServerStream> stream) {
    if (!gate.closed()) return handler(std::move(stream));
    start_guarded(gate, right, handler, stream);
  };
}

}  // namespace kv::api
