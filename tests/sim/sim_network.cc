#include "sim_network.h"

#include <algorithm>
#include <variant>
#include <vector>

namespace kv::sim {

SimNetwork::SimNetwork(EventQueue* events, uint64_t seed, const NetworkOptions& options, Deliver deliver, Lost lost)
    : events_(events), random_(seed), options_(options), deliver_(std::move(deliver)), lost_(std::move(lost)) {}

void SimNetwork::send(raft::Message message) {
  if (!connected(message.from, message.to)) {
    lost_(message.from, message.to);
    return;
  }
  if (chance(random_, options_.drop_ppm)) return;
  const bool repeatable = !std::holds_alternative<raft::Forward>(message.body);
  if (repeatable && chance(random_, options_.duplicate_ppm)) launch(message, true);
  launch(std::move(message), true);
}

void SimNetwork::launch(raft::Message message, bool may_straggle) {
  const Link link{message.from, message.to};
  if (queued_[link] >= options_.queue_messages_max) {
    lost_(message.from, message.to);
    return;
  }
  uint64_t delay_us = options_.delay_us.draw(random_);
  if (may_straggle && chance(random_, options_.straggler_ppm)) {
    delay_us += options_.straggler_delay_us.draw(random_);
  } else if (options_.in_order) {
    uint64_t& last_us = last_arrival_us_[link];
    last_us = std::max(last_us, events_->now_us() + delay_us);
    delay_us = last_us - events_->now_us();
  }
  const uint64_t number = next_number_++;
  ++queued_[link];
  in_flight_.emplace(number, std::move(message));
  events_->after(delay_us, [this, number] { arrive(number); });
}

void SimNetwork::arrive(uint64_t number) {
  auto it = in_flight_.find(number);
  if (it == in_flight_.end()) return;  // it arrived early, or was lost
  raft::Message message = std::move(it->second);
  in_flight_.erase(it);
  --queued_[{message.from, message.to}];
  if (options_.cut_loses_in_flight && !connected(message.from, message.to)) return;
  ++delivered_;
  deliver_(std::move(message));
}

void SimNetwork::calm(uint64_t within_us) {
  mend_all();
  options_.drop_ppm = 0;
  options_.duplicate_ppm = 0;
  options_.straggler_ppm = 0;
  options_.delay_us = {within_us / 20, within_us / 5};
  options_.queue_messages_max = 1 << 20;
  last_arrival_us_.clear();
  for (const auto& [number, message] : in_flight_) {
    events_->after(1 + random_.below(within_us), [this, n = number] { arrive(n); });
  }
}

void SimNetwork::lose_inbound(raft::NodeId node) {
  for (auto it = in_flight_.begin(); it != in_flight_.end();) {
    if (it->second.to == node) {
      --queued_[{it->second.from, it->second.to}];
      it = in_flight_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace kv::sim
