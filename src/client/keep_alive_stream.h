// The one stream on which a client keeps its leases alive. Internal.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <unordered_map>
#include <utility>

#include "client/lease.h"
#include "client/resuming_stream.h"

namespace kv::client {

// One KeepAlive's lease.
struct KeptLease {
  KeptLease(int64_t lease, KeepAliveOptions keep_options) : id(lease), options(std::move(keep_options)) {}

  const int64_t id;
  const KeepAliveOptions options;
  CallbackGate gate{};
  std::stop_source lost{};
  std::atomic<bool> alive_waits{false};  // for the callback thread: one at a time

  // The stream's thread owns these.
  std::chrono::milliseconds ttl{0};
  SteadyTime send_at{};                 // when the next keep-alive is due
  std::optional<SteadyTime> sent_at{};  // of the one that is not answered yet
  SteadyTime lost_at{};
  SteadyTime wakes_at{};  // its place in KeepAliveStream::due_

  mutable std::mutex mutex{};  // guards the two below
  mutable std::condition_variable_any changed{};
  std::optional<Status> why_lost{};
};

// Any thread may call the public functions.
class KeepAliveStream final
    : public ResumingStream<etcdserverpb::LeaseKeepAliveRequest, etcdserverpb::LeaseKeepAliveResponse> {
 public:
  KeepAliveStream(std::shared_ptr<Calls> calls, std::shared_ptr<Poller> poller, std::shared_ptr<Loop> callbacks);

  void add(std::shared_ptr<KeptLease> lease);
  void remove(const std::shared_ptr<KeptLease>& lease);

 private:
  using Lease = std::shared_ptr<KeptLease>;

  std::unique_ptr<Call> prepare(Endpoint& endpoint, grpc::ClientContext* context,
                                grpc::CompletionQueue* queue) override;
  void connected() override;
  void received(etcdserverpb::LeaseKeepAliveResponse&& response) override;
  void disconnected() override;
  void refused(const Status& status) override;
  void stopped() override;
  SteadyTime give_up_connecting() override;

  void arm(const Lease& lease);  // puts it at its place in due_
  void look();                   // does what is due
  void look_at(const Lease& lease, SteadyTime now);
  void lose(const Lease& lease, const Status& why);
  void forget(const Lease& lease);

  const std::shared_ptr<Loop> callbacks_;
  // The stream's thread owns these.
  std::unordered_multimap<int64_t, Lease> leases_{};
  std::set<std::pair<SteadyTime, Lease>> due_{};  // by wakes_at
  SteadyTime looks_at_ = SteadyTime::max();       // of the earliest look() that is posted
};

}  // namespace kv::client
