#include "server/lessor.h"

#include <algorithm>

#include "base/check.h"

namespace kv::server {

// ---- who leads ----

void Lessor::lead(raft::Term term, const std::vector<store::Lease>& leases, int64_t now_ms) {
  resign();
  term_ = term;
  leases_.reserve(leases.size());
  for (const store::Lease& lease : leases) granted(lease, now_ms);
}

void Lessor::resign() {
  term_ = raft::Term();
  number_ = resolved_ = 0;
  heap_.clear();
  leases_.clear();
  round_end_ms_ = 0;
}

// ---- what the log did ----

void Lessor::granted(const store::Lease& granted, int64_t now_ms) {
  if (!term_) return;
  Lease& lease = leases_[granted.id];
  KV_CHECK(lease.id == 0, "a lease is granted once");
  lease.id = granted.id;
  lease.ttl_s = granted.ttl_s;
  lease.remaining_s = granted.remaining_s;
  lease.grant = granted.grant;
  start(lease, granted.remaining_s > 0 ? granted.remaining_s : granted.ttl_s, now_ms);
  push(lease);
}

void Lessor::revoked(int64_t id) {
  const auto it = leases_.find(id);
  if (it == leases_.end()) return;
  erase(it->second);
  leases_.erase(it);
}

void Lessor::checkpointed(int64_t id, int64_t remaining_s) {
  const auto it = leases_.find(id);
  if (it != leases_.end()) it->second.remaining_s = remaining_s;
}

void Lessor::resolved(uint64_t number) {
  if (term_) resolved_ = std::max(resolved_, number);
}

// ---- what clients ask ----

Lessor::Renewal Lessor::renew(int64_t id, int64_t now_ms) {
  const auto it = leases_.find(id);
  if (it == leases_.end()) return Renewal::kUnknown;
  Lease& lease = it->second;
  if (is_expiring(lease)) return Renewal::kExpiring;
  if (rest_may_be_noted(lease)) return Renewal::kMustClear;
  lease.expiry_number = 0;  // or it was proposed and came to nothing
  start(lease, lease.ttl_s, now_ms);
  // Only after a proposal that came to nothing: its retry may stand behind the new times.
  if (due_ms(lease) < lease.key_ms) set_key(lease, due_ms(lease));
  return Renewal::kRenewed;
}

std::optional<Lessor::Remaining> Lessor::remaining(int64_t id, int64_t now_ms) const {
  const auto it = leases_.find(id);
  if (it == leases_.end()) return std::nullopt;
  return Remaining{std::max<int64_t>(it->second.expiry_ms - now_ms, 0), it->second.ttl_s};
}

// ---- what to propose ----

// Keys in the heap are too early or right, never too late; so the first may have to be put right before it can be
// believed. That happens once per key, however many keep-alives there were.
bool Lessor::is_due(int64_t now_ms) {
  begin_round(now_ms);
  while (!heap_.empty() && heap_[0]->key_ms <= now_ms) {
    Lease& first = *heap_[0];
    if (const int64_t due = due_ms(first); due > now_ms) {
      set_key(first, due);
      continue;
    }
    return expiries_left_ > 0 && checkpoints_left_ > 0;
  }
  return false;
}

int64_t Lessor::next_ms() const {
  if (heap_.empty()) return kNever;
  const bool held_back = round_end_ms_ > 0 && (expiries_left_ == 0 || checkpoints_left_ == 0);
  return held_back ? std::max(round_end_ms_, heap_[0]->key_ms) : heap_[0]->key_ms;
}

std::vector<kvdpb::Command> Lessor::due(int64_t now_ms) {
  std::vector<kvdpb::Command> commands;
  kvdpb::LeaseExpiry* expiry = nullptr;
  kvdpb::LeaseCheckpoints* checkpoints = nullptr;
  const auto next_command = [&]() -> kvdpb::Command& { return commands.emplace_back(); };
  commands.reserve(2 + (options_.expiries_per_round + options_.checkpoints_per_round) / options_.leases_per_command);
  while (is_due(now_ms)) {
    Lease& lease = *heap_[0];
    if (lease.expiry_ms <= now_ms) {
      if (expiry == nullptr || static_cast<size_t>(expiry->ids_size()) >= options_.leases_per_command) {
        expiry = next_command().mutable_lease_expiry();
        expiry->set_term(term_.value());
        expiry->set_number(++number_);
      }
      expiry->add_ids(lease.id);
      expiry->add_grants(lease.grant);
      lease.expiry_number = expiry->number();
      lease.retry_ms = now_ms + options_.retry_ms;
      lease.checkpoint_ms = kNever;
      --expiries_left_;
    } else {
      // Rounded up: what is lost by rounding would be lost at every change of leaders.
      const int64_t left_s = (lease.expiry_ms - now_ms + 999) / 1000;
      if (left_s < lease.ttl_s) {
        if (checkpoints == nullptr ||
            static_cast<size_t>(checkpoints->checkpoints_size()) >= options_.leases_per_command) {
          checkpoints = next_command().mutable_lease_checkpoints();
          checkpoints->set_term(term_.value());
          checkpoints->set_number(++number_);
        }
        auto* checkpoint = checkpoints->add_checkpoints();
        checkpoint->set_id(lease.id);
        checkpoint->set_remaining_ttl(left_s);
        checkpoints->add_grants(lease.grant);
        lease.checkpoint_number = checkpoints->number();
        --checkpoints_left_;
      }
      const int64_t next = now_ms + options_.checkpoint_interval_ms;
      lease.checkpoint_ms = next < lease.expiry_ms ? next : kNever;
    }
    set_key(lease, due_ms(lease));
  }
  return commands;
}

std::vector<kvdpb::Command> Lessor::clear(const std::vector<int64_t>& ids, int64_t now_ms) {
  std::vector<kvdpb::Command> commands;
  kvdpb::LeaseCheckpoints* checkpoints = nullptr;
  for (const int64_t id : ids) {
    const auto it = leases_.find(id);
    if (it == leases_.end()) continue;
    Lease& lease = it->second;
    const bool under_way = lease.clear_number > std::max(resolved_, lease.checkpoint_number);
    if (!rest_may_be_noted(lease) || (under_way && now_ms < lease.clear_again_ms)) continue;
    if (checkpoints == nullptr || static_cast<size_t>(checkpoints->checkpoints_size()) >= options_.leases_per_command) {
      checkpoints = commands.emplace_back().mutable_lease_checkpoints();
      checkpoints->set_term(term_.value());
      checkpoints->set_number(++number_);
    }
    checkpoints->add_checkpoints()->set_id(id);
    checkpoints->add_grants(lease.grant);
    lease.clear_number = checkpoints->number();
    lease.clear_again_ms = now_ms + options_.retry_ms;
  }
  return commands;
}

// ---- times ----

int64_t Lessor::due_ms(const Lease& lease) {
  return std::min(lease.expiry_number != 0 ? lease.retry_ms : lease.expiry_ms, lease.checkpoint_ms);
}

// A reading of the clock is cut to the millisecond, so the lease may have begun almost one later: one more is counted.
void Lessor::start(Lease& lease, int64_t seconds, int64_t now_ms) {
  lease.expiry_ms = now_ms + seconds * 1000 + 1;
  const int64_t checkpoint = now_ms + options_.checkpoint_interval_ms;
  lease.checkpoint_ms = options_.checkpoints && checkpoint < lease.expiry_ms ? checkpoint : kNever;
}

void Lessor::begin_round(int64_t now_ms) {
  if (now_ms < round_end_ms_) return;
  round_end_ms_ = now_ms + options_.round_ms;
  expiries_left_ = options_.expiries_per_round;
  checkpoints_left_ = options_.checkpoints_per_round;
}

// ---- the heap ----

void Lessor::place(Lease* lease, size_t at) {
  heap_[at] = lease;
  lease->place = at;
}

void Lessor::sift_up(size_t at) {
  Lease* const lease = heap_[at];
  while (at > 0 && heap_[(at - 1) / 2]->key_ms > lease->key_ms) {
    place(heap_[(at - 1) / 2], at);
    at = (at - 1) / 2;
  }
  place(lease, at);
}

void Lessor::sift_down(size_t at) {
  Lease* const lease = heap_[at];
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->key_ms < heap_[child]->key_ms) ++child;
    if (heap_[child]->key_ms >= lease->key_ms) break;
    place(heap_[child], at);
    at = child;
  }
  place(lease, at);
}

void Lessor::set_key(Lease& lease, int64_t key_ms) {
  lease.key_ms = key_ms;
  sift_up(lease.place);
  sift_down(lease.place);
}

void Lessor::push(Lease& lease) {
  lease.key_ms = due_ms(lease);
  heap_.push_back(&lease);
  lease.place = heap_.size() - 1;
  sift_up(lease.place);
}

void Lessor::erase(Lease& lease) {
  Lease* const last = heap_.back();
  heap_.pop_back();
  if (last == &lease) return;
  place(last, lease.place);
  sift_up(last->place);
  sift_down(last->place);
}

}  // namespace kv::server
