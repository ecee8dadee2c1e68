#include "client/watch.h"

#include <utility>

#include "client/wait_for.h"
#include "client/watch_stream.h"

namespace kv::client {

Watcher::Watcher(std::shared_ptr<WatchStream> stream, std::shared_ptr<WatchState> state)
    : stream_(std::move(stream)), state_(std::move(state)) {
  stream_->add(state_);
}

Watcher::~Watcher() { close(); }

Watcher& Watcher::operator=(Watcher&& other) noexcept {
  if (this == &other) return *this;
  close();
  stream_ = std::move(other.stream_);
  state_ = std::move(other.state_);
  return *this;
}

void Watcher::close() {
  if (state_ == nullptr) return;
  stream_->remove(state_);
  state_->gate.close();
  state_.reset();
  stream_.reset();
}

Result<WatchResponse> Watcher::next(const Wait& wait) {
  KV_CHECK(!state_->has_callbacks(), "a watcher with callbacks is not pulled from");
  for (;;) {
    {
      std::unique_lock lock(state_->mutex);
      KV_RETURN_IF_ERROR(
          wait_for(state_->changed, lock, wait, [this] { return !state_->buffered.empty() || state_->end; }));
      if (state_->buffered.empty()) return state_->end->status;
    }
    // Another thread may have been faster.
    if (auto taken = stream_->take(state_)) return *std::move(taken);
  }
}

Result<int64_t> Watcher::wait_created(const Wait& wait) {
  std::unique_lock lock(state_->mutex);
  KV_RETURN_IF_ERROR(wait_for(state_->changed, lock, wait, [this] { return state_->created_revision || state_->end; }));
  if (state_->created_revision) return *state_->created_revision;
  return state_->end->status;
}

void Watcher::request_progress() { stream_->request_progress(); }

std::optional<WatchEnd> Watcher::end() const {
  const std::lock_guard lock(state_->mutex);
  return state_->end;
}

}  // namespace kv::client
