#include "server/peer_calls.h"

#include <algorithm>

#include "server/errors.h"

namespace kv::server {

PeerCalls::PeerCalls(Ports ports, uint64_t first_number) : ports_(std::move(ports)), last_number_(first_number) {}

void PeerCalls::call(raft::NodeId to, kvdpb::PeerRequest request, int64_t expires_ms, Done done) {
  const int64_t left_ms = expires_ms - ports_.clock->monotonic_ms();
  if (left_ms <= 0) return done(errors::timed_out(), {});
  kvdpb::PeerMessage message;
  request.set_timeout_ms(left_ms);
  *message.mutable_request() = std::move(request);
  Status refused;
  uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) {
      refused = errors::stopped();
    } else if (calls_.size() >= ports_.max_calls) {
      refused = errors::too_many_requests();
    } else {
      number = ++last_number_;
      calls_.emplace(number, Call{to, expires_ms, std::move(done)});
    }
  }
  if (!refused.ok()) return done(std::move(refused), {});
  message.set_number(number);
  if (ports_.send(to, message.SerializeAsString())) return;
  std::unordered_map<uint64_t, Call>::node_type unsent;
  {
    const std::lock_guard lock(mutex_);
    unsent = calls_.extract(number);
  }
  if (unsent) unsent.mapped().done(errors::timed_out_connection(), {});
}

bool PeerCalls::receive(raft::NodeId from, std::string_view payload) {
  kvdpb::PeerMessage message;
  if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return false;
  if (message.has_request()) return serve(from, message.number(), std::move(*message.mutable_request()));
  if (!message.has_response()) return false;
  Done done;
  {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find(message.number());
    // Too late, or of an earlier life; or a peer answers what another was asked.
    if (found == calls_.end() || found->second.to != from) return true;
    done = std::move(found->second.done);
    calls_.erase(found);
  }
  done(Status(), std::move(*message.mutable_response()));
  return true;
}

bool PeerCalls::serve(raft::NodeId from, uint64_t number, kvdpb::PeerRequest&& request) {
  Reply reply = [send = ports_.send, served = served_, from, number](kvdpb::PeerResponse&& response) {
    kvdpb::PeerMessage message;
    message.set_number(number);
    *message.mutable_response() = std::move(response);
    // Held while sending: after close() nothing is sent.
    const std::lock_guard lock(served->mutex);
    --served->count;
    if (served->closed) return;
    // What can't be sent ends by the asker's time, or when it sees its stream break.
    (void)send(from, message.SerializeAsString());
  };
  bool full;
  {
    const std::lock_guard lock(served_->mutex);
    full = served_->count++ >= ports_.max_served;
  }
  if (full || request.request_case() == kvdpb::PeerRequest::REQUEST_NOT_SET) {
    // A newer member's question is no nonsense, but there is no answer here.
    const Status status = full ? errors::too_many_requests() : Status(Code::kUnimplemented, "etcdserver: not capable");
    kvdpb::PeerResponse response;
    response.set_code(static_cast<int32_t>(status.code()));
    response.set_text(status.text());
    reply(std::move(response));
    return true;
  }
  const int64_t timeout_ms = std::clamp<int64_t>(request.timeout_ms(), 0, ports_.max_timeout_ms);
  ports_.serve(from, std::move(request), ports_.clock->monotonic_ms() + timeout_ms, std::move(reply));
  return true;
}

template <typename Which>
void PeerCalls::end(Which which, const Status& status) {
  std::vector<Done> ended;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = calls_.begin(); it != calls_.end();) {
      const auto call = it++;
      if (!which(call->second)) continue;
      ended.push_back(std::move(call->second.done));
      calls_.erase(call);
    }
  }
  for (Done& done : ended) done(status, {});
}

void PeerCalls::broken(raft::NodeId peer) {
  end([&](const Call& call) { return call.to == peer; }, errors::timed_out_connection());
}

void PeerCalls::leader_is(raft::NodeId leader) {
  end([&](const Call& call) { return call.to != leader; }, errors::leader_changed());
}

void PeerCalls::expire() {
  const int64_t now_ms = ports_.clock->monotonic_ms();
  end([&](const Call& call) { return call.expires_ms <= now_ms; }, errors::timed_out());
}

void PeerCalls::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  {
    const std::lock_guard lock(served_->mutex);
    served_->closed = true;
  }
  end([](const Call&) { return true; }, errors::stopped());
}

size_t PeerCalls::waiting() const {
  const std::lock_guard lock(mutex_);
  return calls_.size();
}

}  // namespace kv::server
