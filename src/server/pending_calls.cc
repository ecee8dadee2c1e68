#include "server/pending_calls.h"

#include <algorithm>

#include "base/metrics.h"
#include "server/errors.h"

namespace kv::server {
namespace {

// A proposal whose fate its client did not learn.
void count_failed(size_t proposals) {
  static Counter& failed =
      Metrics::global().counter("etcd_server_proposals_failed_total", "The total number of failed proposals seen.");
  failed.add(proposals);
}

}  // namespace

Result<uint64_t> PendingCalls::add(size_t bytes, int64_t expires_ms, Completion& completion, AtNewLeader then) {
  const std::lock_guard lock(mutex_);
  if (closed_) return errors::stopped();
  if (calls_.size() >= max_calls_ || bytes_ + bytes > max_bytes_) return errors::too_many_requests();
  const uint64_t number = ++last_number_;
  calls_.emplace(number, Call{std::move(completion), bytes});
  auto& expiries = then == AtNewLeader::kAskedAgain ? patient_ : expiries_;
  expiries.push_back({.expires_ms = expires_ms, .number = number});
  bytes_ += bytes;
  return number;
}

std::vector<Completion> PendingCalls::take(const std::vector<uint64_t>& numbers) {
  std::vector<Completion> taken(numbers.size());
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto found = calls_.find(numbers[i]);
    if (found == calls_.end()) continue;
    taken[i] = std::move(found->second.completion);
    bytes_ -= found->second.bytes;
    calls_.erase(found);
  }
  // Most calls end long before their time: drop their expiries from the front as they come up.
  for (auto* expiries : {&expiries_, &patient_}) {
    while (!expiries->empty() && !calls_.contains(expiries->front().number)) expiries->pop_front();
  }
  return taken;
}

void PendingCalls::leader_lost() {
  const std::lock_guard lock(mutex_);
  lost_up_to_ = last_number_;
}

void PendingCalls::leader_found(int64_t expires_ms) {
  const std::lock_guard lock(mutex_);
  for (Expiry& expiry : expiries_) {
    if (expiry.number > lost_up_to_) break;
    expiry.expires_ms = std::min(expiry.expires_ms, expires_ms);
    expiry.leader_changed = true;
  }
}

void PendingCalls::expire(int64_t now_ms) {
  struct Expired {
    Completion completion;
    bool leader_changed;
  };
  std::vector<Expired> expired;
  {
    const std::lock_guard lock(mutex_);
    for (auto* expiries : {&expiries_, &patient_}) {
      for (; !expiries->empty() && expiries->front().expires_ms <= now_ms; expiries->pop_front()) {
        const auto found = calls_.find(expiries->front().number);
        if (found == calls_.end()) continue;
        expired.push_back({std::move(found->second.completion), expiries->front().leader_changed});
        bytes_ -= found->second.bytes;
        calls_.erase(found);
      }
    }
  }
  count_failed(expired.size());
  for (auto& [completion, leader_changed] : expired)
    completion(leader_changed ? errors::timed_out_leader() : errors::timed_out(), nullptr);
}

void PendingCalls::close(Status status) {
  std::unordered_map<uint64_t, Call> left;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    left.swap(calls_);
    expiries_.clear();
    patient_.clear();
    bytes_ = 0;
  }
  count_failed(left.size());
  for (auto& [number, call] : left) call.completion(status, nullptr);
}

size_t PendingCalls::size() const {
  const std::lock_guard lock(mutex_);
  return calls_.size();
}

size_t PendingCalls::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace kv::server
