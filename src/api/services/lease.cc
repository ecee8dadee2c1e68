// The rows of etcd's Lease service. KeepAlive is a stream of requests, each a call of its own to the member.
#include <deque>
#include <mutex>

#include "api/services/services.h"
#include "server/errors.h"

namespace kv::api {
namespace {

using etcdserverpb::LeaseKeepAliveRequest;
using etcdserverpb::LeaseKeepAliveResponse;
using server::Member;

// Requests of one stream that may be under way, and answers that may wait for its reader.
constexpr size_t kMaxUnderWay = 64;
constexpr size_t kMaxQueuedBytes = 64 << 10;

// One stream. Answers leave in the order of the requests, as clients expect; an error ends the stream, as in etcd.
class KeepAliveStream : public std::enable_shared_from_this<KeepAliveStream> {
 public:
  KeepAliveStream(Member& member, std::shared_ptr<ServerStream> stream) : member_(member), stream_(std::move(stream)) {}

  void start() {
    // As etcd does: a client that asked for it does not stay with a member that is cut off.
    if (stream_->call()->has_leader) {
      if (member_.leader() == 0) return stream_->finish(server::errors::no_leader());
      leaderless_ = member_.leaderless().when_lost([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->end(server::errors::no_leader());
      });
    }
    stream_->on_request = [self = shared_from_this()](MessagePtr request) { self->request(std::move(request)); };
    stream_->on_half_close = [self = shared_from_this()] { self->half_close(); };
    stream_->on_cancel = [self = shared_from_this()] { self->cancel(); };
  }

 private:
  struct Slot {
    bool answered = false;
    Status status;
    LeaseKeepAliveResponse response;
  };

  void request(MessagePtr message) {
    uint64_t number;
    {
      const std::lock_guard lock(mutex_);
      if (over_) return;
      slots_.emplace_back();
      number = first_ + slots_.size() - 1;
      if (!paused_ && (slots_.size() >= kMaxUnderWay || stream_->queued_bytes() >= kMaxQueuedBytes)) {
        paused_ = true;
        stream_->pause_reading();
      }
    }
    member_.lease_keep_alive(
        stream_->call(), std::unique_ptr<LeaseKeepAliveRequest>(static_cast<LeaseKeepAliveRequest*>(message.release())),
        [self = shared_from_this(), number](Status status, LeaseKeepAliveResponse&& response) {
          self->answered(number, std::move(status), std::move(response));
        });
  }

  void answered(uint64_t number, Status status, LeaseKeepAliveResponse&& response) {
    {
      const std::lock_guard lock(mutex_);
      if (over_) return;
      Slot& slot = slots_[number - first_];
      slot.answered = true;
      slot.status = std::move(status);
      slot.response = std::move(response);
    }
    go_on();
  }

  // Sends what is due, reads on, ends. One thread at a time; the stream is called without the lock, because it may
  // call back.
  void go_on() {
    std::unique_lock lock(mutex_);
    again_ = true;
    if (working_) return;
    working_ = true;
    while (std::exchange(again_, false) && !over_) {
      while (!over_ && !slots_.empty() && slots_.front().answered) {
        const Slot front = std::move(slots_.front());
        slots_.pop_front();
        ++first_;
        lock.unlock();
        const bool goes_on = front.status.ok() && stream_->write(front.response);
        if (!front.status.ok()) stream_->finish(front.status);
        lock.lock();
        over_ = over_ || !goes_on;
      }
      if (!over_ && half_closed_ && slots_.empty()) {
        over_ = true;
        lock.unlock();
        stream_->finish(Status());
        lock.lock();
      }
      // Half of it must be free, so that the reader isn't stopped and woken for each request.
      if (over_ || !paused_ || slots_.size() > kMaxUnderWay / 2 || waits_for_reader_) continue;
      waits_for_reader_ = true;
      lock.unlock();
      stream_->on_drained(kMaxQueuedBytes / 2, [self = shared_from_this()] { self->drained(); });
      lock.lock();
    }
    if (over_) slots_.clear();
    working_ = false;
  }

  void drained() {
    {
      const std::lock_guard lock(mutex_);
      waits_for_reader_ = paused_ = false;
      if (over_) return;
    }
    stream_->resume_reading();
  }

  void half_close() {
    {
      const std::lock_guard lock(mutex_);
      half_closed_ = true;
    }
    go_on();
  }
  void cancel() {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  void end(const Status& status) {
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(over_, true)) return;
    }
    stream_->finish(status);
  }

  Member& member_;
  const std::shared_ptr<ServerStream> stream_;
  server::Leaderless::Registration leaderless_;

  std::mutex mutex_;  // guards all below
  std::deque<Slot> slots_;
  uint64_t first_ = 0;    // number of the first slot
  bool working_ = false;  // somebody is in go_on()
  bool again_ = false;    // ... and must look once more
  bool paused_ = false;
  bool waits_for_reader_ = false;
  bool half_closed_ = false;
  bool over_ = false;
};

}  // namespace

void add_lease(CallTable& table, Member& member) {
  // A lease may be made by any user; what hangs on one decides who may end it or see its keys.
  table.add(member_row("/etcdserverpb.Lease/LeaseGrant", Right::kUser, member, &Member::lease_grant));
  table.add(member_row("/etcdserverpb.Lease/LeaseRevoke", Right::kKeys, member, &Member::lease_revoke));
  table.add(stream_row<LeaseKeepAliveRequest, LeaseKeepAliveResponse>(
      "/etcdserverpb.Lease/LeaseKeepAlive", Kind::kBidi, Right::kEach, [&member](std::shared_ptr<ServerStream> stream) {
        std::make_shared<KeepAliveStream>(member, std::move(stream))->start();
      }));
  table.add(member_row("/etcdserverpb.Lease/LeaseTimeToLive", Right::kKeys, member, &Member::lease_time_to_live));
  table.add(member_row("/etcdserverpb.Lease/LeaseLeases", Right::kKeys, member, &Member::lease_leases));
}

}  // namespace kv::api
