#include "server/pending_calls.h"

#include <algorithm>
#include <utility>

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

Result<uint64_t> PendingCalls::add(size_t bytes, int64_t expires_ms, Completion& completion) {
  const std::lock_guard lock(mutex_);
  if (closed_) return errors::stopped();
  if (calls_.size() >= max_calls_ || bytes_ + bytes > max_bytes_) return errors::too_many_requests();
  const uint64_t number = ++last_number_;
  calls_.emplace(number, Call{std::move(completion), bytes});
  expiries_.push_back({.expires_ms = expires_ms, .number = number});
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
  while (!expiries_.empty() && !calls_.contains(expiries_.front().number)) expiries_.pop_front();
  return taken;
}

bool PendingCalls::waits(uint64_t number) const {
  const std::lock_guard lock(mutex_);
  return calls_.contains(number);
}

void PendingCalls::leader_lost() {
  const std::lock_guard lock(mutex_);
  lost_up_to_ = last_number_;
}

void PendingCalls::leader_found() {
  const std::lock_guard lock(mutex_);
  found_after_ = lost_up_to_;
}

void PendingCalls::leader_returned(int64_t expires_ms) {
  const std::lock_guard lock(mutex_);
  for (Expiry& expiry : expiries_) {
    if (expiry.number > lost_up_to_) break;
    expiry.expires_ms = std::min(expiry.expires_ms, expires_ms);
    expiry.stream_lost = true;
  }
}

Status PendingCalls::timed_out(const Expiry& expiry) const {
  if (expiry.number <= found_after_) return errors::timed_out_leader();
  return expiry.stream_lost ? errors::timed_out_connection() : errors::timed_out();
}

void PendingCalls::expire(int64_t now_ms) {
  std::vector<std::pair<Completion, Status>> expired;
  {
    const std::lock_guard lock(mutex_);
    for (; !expiries_.empty() && expiries_.front().expires_ms <= now_ms; expiries_.pop_front()) {
      const auto found = calls_.find(expiries_.front().number);
      if (found == calls_.end()) continue;
      expired.emplace_back(std::move(found->second.completion), timed_out(expiries_.front()));
      bytes_ -= found->second.bytes;
      calls_.erase(found);
    }
  }
  count_failed(expired.size());
  for (auto& [completion, status] : expired) completion(std::move(status), nullptr);
}

void PendingCalls::close(Status status) {
  std::unordered_map<uint64_t, Call> left;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    left.swap(calls_);
    expiries_.clear();
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
