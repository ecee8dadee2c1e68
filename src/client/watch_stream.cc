#include "client/watch_stream.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "client/convert.h"

namespace kv::client {
namespace {

namespace pb = etcdserverpb;

// What etcd's answers that belong to no watch have as their watch's id: a failed creation, progress asked for by hand.
constexpr int64_t kNoWatch = -1;

size_t bytes_of(const WatchResponse& response) {
  constexpr size_t kEventBytes = 64;
  size_t bytes = kEventBytes;
  for (const auto& event : response.events) {
    bytes += kEventBytes + event.kv.key.size() + event.kv.value.size();
    if (event.prev_kv) bytes += event.prev_kv->key.size() + event.prev_kv->value.size();
  }
  return bytes;
}

Status why_cancelled(const pb::WatchResponse& response) {
  if (response.compact_revision() != 0) {
    return Status(Code::kOutOfRange, "etcdserver: mvcc: required revision has been compacted");
  }
  const std::string& reason = response.cancel_reason();
  if (reason.empty()) return Status(Code::kOutOfRange, "etcdserver: mvcc: required revision is a future revision");
  // A reason comes without its code, or as the text of a whole gRPC error.
  const auto has = [&](std::string_view text) { return reason.find(text) != reason.npos; };
  if (has("permission denied")) return Status(Code::kPermissionDenied, "etcdserver: permission denied");
  for (const std::string_view text : {"etcdserver: invalid auth token", "etcdserver: user name is empty",
                                      "etcdserver: revision of auth store is old"}) {
    if (has(text)) return Status(Code::kUnauthenticated, std::string(text));
  }
  return Status(Code::kUnknown, reason);
}

}  // namespace

WatchStream::WatchStream(std::shared_ptr<Calls> calls, std::shared_ptr<Poller> poller, std::shared_ptr<Loop> callbacks)
    : ResumingStream(std::move(calls), std::move(poller), "kv-watch"), callbacks_(std::move(callbacks)) {}

void WatchStream::add(Watch watch) {
  loop_.post(task([this, watch = std::move(watch)] {
    if (watch->phase == Phase::kEnded) return;
    watches_.insert(watch);
    if (is_connected()) {
      create(watch);
    } else {
      want(true);
    }
  }));
}

void WatchStream::remove(const Watch& watch) {
  loop_.post(task([this, watch] {
    if (watch->phase == Phase::kActive) {
      active_.erase(watch->id);
      cancel(watch->id);
    }
    watch->phase = Phase::kEnded;  // created() cancels one that is being created
    watches_.erase(watch);
    if (watches_.empty()) {
      want(false);
      disconnected();
    }
  }));
}

void WatchStream::resume(const Watch& watch) {
  loop_.post(task([this, watch] {
    if (watch->phase != Phase::kPaused) return;
    watch->phase = Phase::kWaiting;
    if (is_connected()) create(watch);
  }));
}

void WatchStream::request_progress() {
  loop_.post(task([this] {
    pb::WatchRequest request;
    request.mutable_progress_request();
    send(std::move(request));
  }));
}

std::optional<WatchResponse> WatchStream::take(const Watch& watch) {
  std::optional<WatchResponse> taken;
  bool room = false;
  {
    const std::lock_guard lock(watch->mutex);
    if (watch->buffered.empty()) return taken;
    taken = std::move(watch->buffered.front());
    watch->buffered.pop_front();
    watch->buffered_bytes -= bytes_of(*taken);
    if (watch->paused && watch->buffered_bytes <= watch->options.buffer_bytes_max / 2) {
      watch->paused = false;
      room = true;
    }
  }
  if (room) resume(watch);
  return taken;
}

std::unique_ptr<WatchStream::Call> WatchStream::prepare(Endpoint& endpoint, grpc::ClientContext* context,
                                                        grpc::CompletionQueue* queue) {
  return endpoint.watch->PrepareAsyncWatch(context, queue);
}

void WatchStream::connected() {
  for (const auto& watch : watches_) {
    if (watch->phase == Phase::kWaiting) create(watch);
  }
}

void WatchStream::disconnected() {
  for (const auto& watch : watches_) {
    watch->fragments.reset();
    if (watch->phase == Phase::kCreating || watch->phase == Phase::kActive) watch->phase = Phase::kWaiting;
  }
  active_.clear();
  creating_.clear();
}

void WatchStream::refused(const Status& status) {
  const std::vector<Watch> all(watches_.begin(), watches_.end());
  for (const auto& watch : all) end(watch, {.status = status});
}

void WatchStream::stopped() { refused(Status(Code::kCanceled, "the client is closed")); }

void WatchStream::create(const Watch& watch) {
  pb::WatchRequest request;
  auto* create = request.mutable_create_request();
  create->set_key(watch->key);
  create->set_range_end(watch->options.range_end);
  create->set_start_revision(watch->next_revision);
  create->set_progress_notify(watch->options.progress_notify);
  create->set_prev_kv(watch->options.prev_kv);
  create->set_fragment(true);
  if (watch->options.no_put) create->add_filters(pb::WatchCreateRequest::NOPUT);
  if (watch->options.no_delete) create->add_filters(pb::WatchCreateRequest::NODELETE);
  watch->phase = Phase::kCreating;
  creating_.push_back(watch);
  send(std::move(request));
}

void WatchStream::cancel(int64_t id) {
  pb::WatchRequest request;
  request.mutable_cancel_request()->set_watch_id(id);
  send(std::move(request));
}

void WatchStream::received(pb::WatchResponse&& response) {
  if (response.created()) return created(std::move(response));
  if (response.watch_id() == kNoWatch && !response.canceled()) {
    std::vector<Watch> all;  // deliver() may take one out
    for (const auto& [id, watch] : active_) all.push_back(watch);
    for (const auto& watch : all) deliver(watch, pb::WatchResponse(response), false);
    return;
  }
  const auto at = active_.find(response.watch_id());
  if (at == active_.end()) return;  // the rest of a watch that we have cancelled
  const Watch watch = at->second;
  if (response.canceled()) {
    active_.erase(at);
    return cancelled(watch, response);
  }
  deliver(watch, std::move(response), response.events().empty());
}

void WatchStream::created(pb::WatchResponse&& response) {
  if (creating_.empty()) return;
  const Watch watch = std::move(creating_.front());
  creating_.pop_front();
  if (watch->phase != Phase::kCreating) {
    if (!response.canceled()) cancel(response.watch_id());
    return;
  }
  if (response.canceled()) return cancelled(watch, response);
  works();
  watch->denied = false;
  watch->phase = Phase::kActive;
  watch->id = response.watch_id();
  active_[watch->id] = watch;
  // A watch from now on begins behind the revision that this answer names, at whatever member it is taken up again.
  if (watch->next_revision == 0) watch->next_revision = response.header().revision() + 1;
  {
    const std::lock_guard lock(watch->mutex);
    if (!watch->created_revision) watch->created_revision = watch->next_revision - 1;
  }
  watch->changed.notify_all();
}

void WatchStream::cancelled(const Watch& watch, const pb::WatchResponse& response) {
  const Status why = why_cancelled(response);
  // etcd 3.4 says of an expired token what it says of a key that isn't ours: the same answer to a new one tells.
  const bool denied = why.code() == Code::kPermissionDenied && !token_is_new() && !std::exchange(watch->denied, true);
  if ((token_refused(why) || denied) && !calls_->options().user.empty()) {
    watch->phase = Phase::kWaiting;
    return leave(denied ? Status(Code::kUnauthenticated, "etcdserver: invalid auth token") : why);
  }
  end(watch, {.status = why, .compact_revision = response.compact_revision(), .header = from_proto(response.header())});
}

void WatchStream::deliver(const Watch& watch, pb::WatchResponse&& response, bool bookmark) {
  const bool more = response.fragment();
  WatchResponse got = from_proto(std::move(response));
  // What an earlier member has sent already; on one stream there is no such thing.
  std::erase_if(got.events, [&](const Event& e) { return e.kv.mod_revision < watch->next_revision; });
  for (Event& event : got.events) {
    event.kv.key.erase(0, watch->strip_bytes);
    if (event.prev_kv) event.prev_kv->key.erase(0, watch->strip_bytes);
  }
  if (watch->fragments) {
    auto& events = watch->fragments->events;
    events.insert(events.end(), std::make_move_iterator(got.events.begin()), std::make_move_iterator(got.events.end()));
    got.events = std::move(events);
    watch->fragments.reset();
  }
  if (more) {
    watch->fragments = std::move(got);
    return;
  }
  if (!got.events.empty()) {
    watch->next_revision = got.events.back().kv.mod_revision + 1;
  } else if (bookmark) {
    watch->next_revision = std::max(watch->next_revision, got.header.revision + 1);
  }
  bool full;
  {
    const std::lock_guard lock(watch->mutex);
    watch->buffered_bytes += bytes_of(got);
    watch->buffered.push_back(std::move(got));
    full = watch->paused = watch->buffered_bytes > watch->options.buffer_bytes_max;
  }
  watch->changed.notify_all();
  if (full) {
    watch->phase = Phase::kPaused;
    active_.erase(watch->id);
    cancel(watch->id);
  }
  call_back(watch);
}

void WatchStream::end(const Watch& watch, WatchEnd why) {
  watch->phase = Phase::kEnded;
  watches_.erase(watch);
  {
    const std::lock_guard lock(watch->mutex);
    watch->end = std::move(why);
  }
  watch->changed.notify_all();
  call_back(watch);
  if (watches_.empty()) {
    want(false);
    disconnected();
  }
}

void WatchStream::call_back(const Watch& watch) {
  if (!watch->has_callbacks()) return;
  {
    const std::lock_guard lock(watch->mutex);
    if (watch->delivering) return;
    watch->delivering = true;
  }
  const std::weak_ptr<WatchStream> self = std::static_pointer_cast<WatchStream>(shared_from_this());
  callbacks_->post([self, watch, loop = std::weak_ptr<Loop>(callbacks_)] { deliver_one(self, watch, loop); });
}

// One response a task, so that the watches of a client take turns.
void WatchStream::deliver_one(const std::weak_ptr<WatchStream>& stream, const Watch& watch,
                              const std::weak_ptr<Loop>& loop) {
  const auto self = stream.lock();
  const auto callbacks = loop.lock();
  if (self == nullptr || callbacks == nullptr) return;
  if (auto response = self->take(watch)) {
    watch->gate.run([&] {
      if (watch->callbacks.on_response) watch->callbacks.on_response(std::move(*response));
    });
    callbacks->post([stream, watch, loop] { deliver_one(stream, watch, loop); });
    return;
  }
  std::optional<WatchEnd> end;
  {
    const std::lock_guard lock(watch->mutex);
    if (!watch->buffered.empty()) {
      callbacks->post([stream, watch, loop] { deliver_one(stream, watch, loop); });
      return;
    }
    // With the end told, `delivering` stays: nothing comes behind it.
    end = watch->end;
    if (!end) watch->delivering = false;
  }
  if (end) {
    watch->gate.run([&] {
      if (watch->callbacks.on_end) watch->callbacks.on_end(*end);
    });
  }
}

}  // namespace kv::client
