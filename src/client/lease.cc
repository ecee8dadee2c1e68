#include "client/lease.h"

#include <utility>

#include "client/keep_alive_stream.h"
#include "client/wait_for.h"

namespace kv::client {

KeepAlive::KeepAlive(std::shared_ptr<KeepAliveStream> stream, std::shared_ptr<KeptLease> lease)
    : stream_(std::move(stream)), lease_(std::move(lease)) {
  stream_->add(lease_);
}

KeepAlive::~KeepAlive() { close(); }

KeepAlive& KeepAlive::operator=(KeepAlive&& other) noexcept {
  if (this == &other) return *this;
  close();
  stream_ = std::move(other.stream_);
  lease_ = std::move(other.lease_);
  return *this;
}

void KeepAlive::close() {
  if (lease_ == nullptr) return;
  stream_->remove(lease_);
  lease_->gate.close();
  lease_.reset();
  stream_.reset();
}

int64_t KeepAlive::lease() const { return lease_->id; }

// Not by lost_token(), of which the stop is requested a moment after wait_lost() is woken.
bool KeepAlive::lost() const { return why_lost().has_value(); }

std::optional<Status> KeepAlive::why_lost() const {
  const std::lock_guard lock(lease_->mutex);
  return lease_->why_lost;
}

std::stop_token KeepAlive::lost_token() const { return lease_->lost.get_token(); }

Status KeepAlive::wait_lost(const Wait& wait) const {
  std::unique_lock lock(lease_->mutex);
  return wait_for(lease_->changed, lock, wait, [this] { return lease_->why_lost.has_value(); });
}

}  // namespace kv::client
