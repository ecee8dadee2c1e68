// The one stream of a client's watches. Internal.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "client/resuming_stream.h"
#include "client/watch.h"

namespace kv::client {

// One watch: what its Watcher takes from and the stream fills.
struct WatchState {
  WatchState(std::string watched_key, WatchOptions watch_options, WatchCallbacks watch_callbacks, size_t prefix_size)
      : key(std::move(watched_key)),
        strip_bytes(prefix_size),
        options(std::move(watch_options)),
        callbacks(std::move(watch_callbacks)),
        next_revision(options.start_revision) {}

  const std::string key;
  const size_t strip_bytes;  // of each key that comes: the namespace's prefix
  const WatchOptions options;
  const WatchCallbacks callbacks;
  bool has_callbacks() const { return callbacks.on_response || callbacks.on_end; }
  CallbackGate gate{};

  // The stream's thread owns these.
  enum class Phase : uint8_t {
    kWaiting,   // for a connection
    kCreating,  // the server has been asked
    kActive,
    kPaused,  // the buffer is full; the server has been told to stop
    kEnded,
  };
  Phase phase = Phase::kWaiting;
  int64_t id = -1;        // the server's, while active
  bool denied = false;    // permission, since it was last active
  int64_t next_revision;  // all events before it are in the buffer or gone through it; 0: not known yet
  std::optional<WatchResponse> fragments{};  // of a response that is not complete

  std::mutex mutex{};  // guards all below
  std::condition_variable_any changed{};
  std::deque<WatchResponse> buffered{};
  size_t buffered_bytes = 0;
  bool paused = false;      // the consumer has to wake the stream up when there is room
  bool delivering = false;  // a task that calls back is under way
  std::optional<int64_t> created_revision{};
  std::optional<WatchEnd> end{};
};

// Any thread may call the public functions.
class WatchStream final : public ResumingStream<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse> {
 public:
  // Callbacks run on `callbacks`.
  WatchStream(std::shared_ptr<Calls> calls, std::shared_ptr<Poller> poller, std::shared_ptr<Loop> callbacks);

  void add(std::shared_ptr<WatchState> watch);
  void remove(const std::shared_ptr<WatchState>& watch);
  void resume(const std::shared_ptr<WatchState>& watch);  // there is room again
  void request_progress();

  // Takes the oldest response out of the buffer, if there is one.
  std::optional<WatchResponse> take(const std::shared_ptr<WatchState>& watch);

 private:
  using Watch = std::shared_ptr<WatchState>;
  using Phase = WatchState::Phase;

  std::unique_ptr<Call> prepare(Endpoint& endpoint, grpc::ClientContext* context,
                                grpc::CompletionQueue* queue) override;
  void connected() override;
  void received(etcdserverpb::WatchResponse&& response) override;
  void disconnected() override;
  void refused(const Status& status) override;
  void stopped() override;

  void create(const Watch& watch);
  void cancel(int64_t id);
  void created(etcdserverpb::WatchResponse&& response);
  void cancelled(const Watch& watch, const etcdserverpb::WatchResponse& response);
  void deliver(const Watch& watch, etcdserverpb::WatchResponse&& response, bool bookmark);
  void end(const Watch& watch, WatchEnd end);
  void call_back(const Watch& watch);
  static void deliver_one(const std::weak_ptr<WatchStream>& stream, const Watch& watch,
                          const std::weak_ptr<Loop>& loop);

  const std::shared_ptr<Loop> callbacks_;
  // The stream's thread owns these.
  std::unordered_set<Watch> watches_{};          // all that haven't ended
  std::unordered_map<int64_t, Watch> active_{};  // by the server's id
  std::deque<Watch> creating_{};  // in the order in which the server was asked, which is that of its answers
};

}  // namespace kv::client
