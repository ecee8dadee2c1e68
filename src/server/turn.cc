#include "server/turn.h"

#include <cinttypes>
#include <cstdio>
#include <utility>

namespace kv::server {
namespace {

using namespace etcdserverpb;

constexpr int64_t kOwnLeaseTtlS = 60;  // etcd's default for a session

Status canceled() { return {Code::kCanceled, "etcdserver: request canceled"}; }
Status key_gone() { return {Code::kNotFound, "etcdserver: requested lease not found"}; }

WatchCreateRequest deletions_of(const std::string& key, int64_t from) {
  WatchCreateRequest watch;
  watch.set_key(key);
  watch.set_start_revision(from);
  watch.add_filters(WatchCreateRequest::NOPUT);
  return watch;
}

}  // namespace

Compare created_at(const std::string& key, int64_t revision) {
  Compare compare;
  compare.set_key(key);
  compare.set_target(Compare::CREATE);
  compare.set_result(Compare::EQUAL);
  compare.set_create_revision(revision);
  return compare;
}

RangeRequest oldest_of(const std::string& prefix) {
  RangeRequest range;
  range.set_key(prefix);
  range.set_range_end(prefix_end(prefix));
  range.set_sort_target(RangeRequest::CREATE);
  range.set_sort_order(RangeRequest::ASCEND);
  range.set_limit(1);
  return range;
}

std::string prefix_end(std::string prefix) {
  while (!prefix.empty()) {
    if (static_cast<unsigned char>(prefix.back()) != 0xff) {
      ++prefix.back();
      return prefix;
    }
    prefix.pop_back();
  }
  return std::string(1, '\0');
}

Claim Claim::of(std::string_view name, int64_t lease) {
  char hex[20];
  std::snprintf(hex, sizeof hex, "%" PRIx64, static_cast<uint64_t>(lease));
  Claim claim;
  claim.prefix = std::string(name) + "/";
  claim.key = claim.prefix + hex;
  claim.lease = lease;
  return claim;
}

void with_lease(Member& member, CallPtr call, int64_t lease, absl::AnyInvocable<void(Status, int64_t)> next) {
  if (lease != 0) return next(Status(), lease);
  auto grant = std::make_unique<LeaseGrantRequest>();
  grant->set_ttl(kOwnLeaseTtlS);
  member.lease_grant(std::move(call), std::move(grant),
                     [next = std::move(next)](Status status, LeaseGrantResponse&& response) mutable {
                       next(std::move(status), response.id());
                     });
}

void put_claim(Member& member, CallPtr call, Claim claim, const std::string& value,
               absl::AnyInvocable<void(Status, Claimed)> next) {
  auto txn = std::make_unique<TxnRequest>();
  *txn->add_compare() = created_at(claim.key, 0);
  auto* put = txn->add_success()->mutable_request_put();
  put->set_key(claim.key);
  put->set_value(value);
  put->set_lease(claim.lease);
  txn->add_failure()->mutable_request_range()->set_key(claim.key);
  *txn->add_success()->mutable_request_range() = oldest_of(claim.prefix);
  *txn->add_failure()->mutable_request_range() = oldest_of(claim.prefix);
  member.txn(std::move(call), std::move(txn),
             [claim = std::move(claim), next = std::move(next)](Status status, TxnResponse&& response) mutable {
               Claimed claimed{.claim = std::move(claim), .is_new = response.succeeded()};
               if (!status.ok()) return next(std::move(status), std::move(claimed));
               claimed.header = response.header();
               claimed.claim.revision = response.header().revision();
               if (!claimed.is_new) {
                 const auto& there = response.responses(0).response_range().kvs(0);
                 claimed.claim.revision = there.create_revision();
                 claimed.value_there = there.value();
               }
               const auto& owner = response.responses(1).response_range();
               if (owner.kvs_size() > 0) claimed.owner_revision = owner.kvs(0).create_revision();
               next(Status(), std::move(claimed));
             });
}

void withdraw(Member& member, const CallContext& call, const Claim& claim) {
  auto txn = std::make_unique<TxnRequest>();
  *txn->add_compare() = created_at(claim.key, claim.revision);
  txn->add_success()->mutable_request_delete_range()->set_key(claim.key);
  // Should it fail, the key goes with its lease.
  member.txn(OwnCall::on_behalf_of(call), std::move(txn), [](const Status&, TxnResponse&&) {});
}

// ---- Turn ----

Turn::Turn(Member& member, CallPtr call, Claim claim, Over over)
    : member_(member), call_(std::move(call)), claim_(std::move(claim)), over_(std::move(over)) {}

void Turn::wait(Member& member, CallPtr call, Claim claim, Over over) {
  const auto turn = std::make_shared<Turn>(member, std::move(call), std::move(claim), std::move(over));
  turn->call_->on_cancel([weak = std::weak_ptr<Turn>(turn)] {
    if (const auto self = weak.lock()) self->end(canceled());
  });
  turn->watch_own_key();
  turn->look();
}

// A contender whose lease has expired waits for nothing any more.
void Turn::watch_own_key() {
  auto watch = OwnWatch::start(member_, call_, deletions_of(claim_.key, claim_.revision + 1),
                               [self = shared_from_this()](const Status& status, const WatchResponse* response) {
                                 if (response == nullptr) return self->end(status);
                                 // Compacted: whether the key is still there shows when its turn has come.
                                 if (response->events_size() > 0) self->end(key_gone());
                               });
  const std::lock_guard lock(mutex_);
  if (over_) own_key_watch_.swap(watch);
}

void Turn::look() {
  auto range = std::make_unique<RangeRequest>(oldest_of(claim_.prefix));
  range->set_sort_order(RangeRequest::DESCEND);
  range->set_max_create_revision(claim_.revision - 1);
  range->set_keys_only(true);
  member_.range(call_, std::move(range), [self = shared_from_this()](const Status& status, RangeResponse&& response) {
    if (!status.ok()) return self->end(status);
    if (response.kvs_size() == 0) return self->verify();
    self->watch(response.kvs(0).key(), response.header().revision());
  });
}

void Turn::watch(const std::string& key, int64_t after) {
  uint64_t look;
  {
    const std::lock_guard lock(mutex_);
    look = ++looks_;
  }
  auto watch = OwnWatch::start(member_, call_, deletions_of(key, after + 1),
                               [self = shared_from_this(), look](const Status& status, const WatchResponse* response) {
                                 if (response == nullptr) return self->end(status);
                                 if (response->events_size() == 0 && !response->canceled()) return;
                                 {
                                   const std::lock_guard lock(self->mutex_);
                                   if (self->looks_ != look) return;
                                   ++self->looks_;
                                 }
                                 self->look();
                               });
  // The one before goes outside the lock.
  const std::lock_guard lock(mutex_);
  if (over_) watch_.swap(watch);
}

void Turn::verify() {
  auto range = std::make_unique<RangeRequest>();
  range->set_key(claim_.key);
  range->set_keys_only(true);
  member_.range(call_, std::move(range), [self = shared_from_this()](const Status& status, RangeResponse&& response) {
    if (!status.ok()) return self->end(status);
    const bool there = response.kvs_size() > 0 && response.kvs(0).create_revision() == self->claim_.revision;
    self->end(there ? Status() : key_gone(), response.header());
  });
}

void Turn::end(const Status& status, const ResponseHeader& header) {
  Over over;
  std::unique_ptr<OwnWatch> watch, own_key_watch;  // go outside the lock
  {
    const std::lock_guard lock(mutex_);
    over.swap(over_);
    watch.swap(watch_);
    own_key_watch.swap(own_key_watch_);
  }
  if (over) over(status, header);
}

}  // namespace kv::server
