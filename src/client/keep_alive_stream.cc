#include "client/keep_alive_stream.h"

#include <algorithm>
#include <vector>

#include "client/convert.h"

namespace kv::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A third of the TTL leaves two more tries; and so much time has one to be answered.
milliseconds third(const KeptLease& lease) { return std::max(lease.ttl / 3, milliseconds(1)); }

}  // namespace

KeepAliveStream::KeepAliveStream(std::shared_ptr<Calls> calls, std::shared_ptr<Poller> poller,
                                 std::shared_ptr<Loop> callbacks)
    : ResumingStream(std::move(calls), std::move(poller), "kv-keep-alive"), callbacks_(std::move(callbacks)) {}

void KeepAliveStream::add(Lease lease) {
  loop_.post(task([this, lease = std::move(lease)] {
    const SteadyTime now = steady_clock::now();
    lease->ttl = std::chrono::seconds(lease->options.ttl_s);
    if (lease->ttl.count() <= 0) lease->ttl = calls_->options().call_timeout;
    lease->send_at = now;
    lease->lost_at = now + lease->ttl;
    leases_.emplace(lease->id, lease);
    want(true);
    arm(lease);
    look();
  }));
}

void KeepAliveStream::remove(const Lease& lease) {
  loop_.post(task([this, lease] { forget(lease); }));
}

std::unique_ptr<KeepAliveStream::Call> KeepAliveStream::prepare(Endpoint& endpoint, grpc::ClientContext* context,
                                                                grpc::CompletionQueue* queue) {
  return endpoint.lease->PrepareAsyncLeaseKeepAlive(context, queue);
}

void KeepAliveStream::connected() {
  for (const auto& [id, lease] : leases_) arm(lease);
  look();
}

void KeepAliveStream::disconnected() {
  for (const auto& [id, lease] : leases_) {
    lease->sent_at.reset();
    arm(lease);
  }
}

void KeepAliveStream::refused(const Status& status) {
  std::vector<Lease> all;
  for (const auto& [id, lease] : leases_) all.push_back(lease);
  for (const auto& lease : all) lose(lease, status);
}

void KeepAliveStream::stopped() { refused(Status(Code::kCanceled, "the client is closed")); }

SteadyTime KeepAliveStream::give_up_connecting() {
  SteadyTime first = SteadyTime::max();
  for (const auto& [id, lease] : leases_) first = std::min(first, lease->lost_at);
  return first;
}

void KeepAliveStream::received(etcdserverpb::LeaseKeepAliveResponse&& response) {
  // Two objects may keep one lease: the server answers in the order in which it was asked.
  Lease lease;
  const auto [begin, end] = leases_.equal_range(response.id());
  for (auto at = begin; at != end; ++at) {
    if (at->second->sent_at && (lease == nullptr || *at->second->sent_at < *lease->sent_at)) lease = at->second;
  }
  if (lease == nullptr) return;  // kept no longer
  works();
  if (response.ttl() <= 0) return lose(lease, Status(Code::kNotFound, "etcdserver: requested lease not found"));
  // Counted from when it was sent: the server's count begins later.
  lease->ttl = std::chrono::seconds(response.ttl());
  lease->lost_at = *lease->sent_at + lease->ttl;
  lease->send_at = *lease->sent_at + third(*lease);
  lease->sent_at.reset();
  arm(lease);
  look();
  if (lease->options.on_alive && !lease->alive_waits.exchange(true)) {
    callbacks_->post([lease, alive = from_proto(std::move(response))] {
      lease->alive_waits = false;
      lease->gate.run([&] { lease->options.on_alive(alive); });
    });
  }
}

void KeepAliveStream::arm(const Lease& lease) {
  due_.erase({lease->wakes_at, lease});
  lease->wakes_at = lease->lost_at;
  if (lease->sent_at) {
    lease->wakes_at = std::min(lease->wakes_at, *lease->sent_at + third(*lease));
  } else if (is_connected()) {
    lease->wakes_at = std::min(lease->wakes_at, lease->send_at);
  }
  due_.emplace(lease->wakes_at, lease);
}

void KeepAliveStream::look() {
  const SteadyTime now = steady_clock::now();
  while (!due_.empty() && due_.begin()->first <= now) look_at(Lease(due_.begin()->second), now);
  if (due_.empty() || looks_at_ <= due_.begin()->first) return;
  looks_at_ = due_.begin()->first;
  loop_.post_at(looks_at_, task([this] {
                  looks_at_ = SteadyTime::max();
                  look();
                }));
}

void KeepAliveStream::look_at(const Lease& lease, SteadyTime now) {
  if (now >= lease->lost_at) {
    return lose(lease, Status(Code::kDeadlineExceeded, "no keep-alive was answered for as long as the lease lives"));
  }
  if (lease->sent_at) {
    // The member hangs or is cut off. disconnected() arms all leases anew.
    return leave(Status(Code::kUnavailable, "a keep-alive was not answered"));
  }
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(lease->id);
  lease->sent_at = now;
  send(std::move(request));
  arm(lease);
}

void KeepAliveStream::lose(const Lease& lease, const Status& why) {
  {
    const std::lock_guard lock(lease->mutex);
    lease->why_lost = why;
  }
  lease->changed.notify_all();
  lease->lost.request_stop();
  if (lease->options.on_lost) {
    callbacks_->post([lease, why] { lease->gate.run([&] { lease->options.on_lost(why); }); });
  }
  forget(lease);
}

void KeepAliveStream::forget(const Lease& lease) {
  due_.erase({lease->wakes_at, lease});
  const auto [begin, end] = leases_.equal_range(lease->id);
  const auto at = std::find_if(begin, end, [&](const auto& item) { return item.second == lease; });
  if (at != end) leases_.erase(at);
  if (leases_.empty()) want(false);
}

}  // namespace kv::client
