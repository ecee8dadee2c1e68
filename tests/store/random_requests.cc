#include "random_requests.h"

#include "store/store.h"

namespace kv::store {

std::string RandomRequests::key() {
  std::string k;
  const uint64_t length = 1 + random_.below(key_length_);
  for (uint64_t i = 0; i < length; ++i) k += static_cast<char>('a' + random_.below(letters_));
  if (random_.one_in(50)) k += std::string("\0", 1);
  if (random_.one_in(50)) k += '\xff';
  return k;
}

std::string RandomRequests::value() {
  return std::string(random_.below(40), static_cast<char>('0' + random_.below(5)));
}

std::string RandomRequests::range_end(const std::string& key) {
  switch (random_.below(8)) {
    case 0: return std::string("\0", 1);
    case 1: {
      std::string end = key;
      ++end.back();
      return end;
    }
    case 2:
    case 3:
    case 4: return this->key();
    default: return "";
  }
}

int64_t RandomRequests::revision_near(int64_t revision, int64_t compact_revision) {
  switch (random_.below(12)) {
    case 0: return revision + 1;
    case 1: return compact_revision - 1;
    case 2: return compact_revision;
    case 3: return compact_revision + 1;
    case 4: return revision - 1;
    default:
      return compact_revision +
             static_cast<int64_t>(random_.below(static_cast<uint64_t>(revision - compact_revision + 1)));
  }
}

etcdserverpb::RangeRequest RandomRequests::range(int64_t revision, int64_t compact_revision) {
  etcdserverpb::RangeRequest r;
  r.set_key(key());
  r.set_range_end(range_end(r.key()));
  if (random_.one_in(8)) {
    r.set_key(std::string("\0", 1));
    r.set_range_end(r.key());
  }
  if (random_.one_in(2)) r.set_revision(revision_near(revision, compact_revision));
  if (random_.one_in(2)) r.set_limit(static_cast<int64_t>(random_.below(12)));
  if (random_.one_in(40)) r.set_limit(INT64_MAX);
  if (random_.one_in(2)) {
    r.set_sort_order(static_cast<etcdserverpb::RangeRequest::SortOrder>(random_.below(3)));
    r.set_sort_target(static_cast<etcdserverpb::RangeRequest::SortTarget>(random_.below(5)));
  }
  r.set_keys_only(random_.one_in(5));
  r.set_count_only(random_.one_in(8));
  const auto near = [&] { return 1 + static_cast<int64_t>(random_.below(static_cast<uint64_t>(revision))); };
  if (random_.one_in(12)) r.set_min_mod_revision(near());
  if (random_.one_in(12)) r.set_max_mod_revision(near());
  if (random_.one_in(12)) r.set_min_create_revision(near());
  if (random_.one_in(12)) r.set_max_create_revision(near());
  return r;
}

etcdserverpb::PutRequest RandomRequests::put() {
  etcdserverpb::PutRequest r;
  r.set_key(key());
  r.set_prev_kv(random_.one_in(3));
  r.set_ignore_lease(random_.one_in(8));
  r.set_ignore_value(random_.one_in(8));
  if (!r.ignore_value()) r.set_value(value());
  if (!r.ignore_lease() && random_.one_in(3)) r.set_lease(lease());
  return r;
}

int64_t RandomRequests::lease() { return 1 + static_cast<int64_t>(random_.below(8)); }

etcdserverpb::LeaseGrantRequest RandomRequests::lease_grant() {
  etcdserverpb::LeaseGrantRequest r;
  r.set_id(lease());
  r.set_ttl(random_.one_in(20) ? 9'000'000'001 : 1 + static_cast<int64_t>(random_.below(1000)));
  return r;
}

etcdserverpb::LeaseRevokeRequest RandomRequests::lease_revoke() {
  etcdserverpb::LeaseRevokeRequest r;
  r.set_id(lease());
  return r;
}

etcdserverpb::LeaseCheckpointRequest RandomRequests::lease_checkpoint() {
  etcdserverpb::LeaseCheckpointRequest r;
  for (uint64_t n = random_.below(3); n > 0; --n) {
    auto* checkpoint = r.add_checkpoints();
    checkpoint->set_id(lease());
    checkpoint->set_remaining_ttl(static_cast<int64_t>(random_.below(2)));
  }
  return r;
}

etcdserverpb::DeleteRangeRequest RandomRequests::delete_range() {
  etcdserverpb::DeleteRangeRequest r;
  r.set_key(key());
  // Seldom everything, or the key space would be empty all the time.
  if (!random_.one_in(3)) r.set_range_end(range_end(r.key()));
  if (r.range_end() == std::string("\0", 1) && !random_.one_in(5)) r.clear_range_end();
  r.set_prev_kv(random_.one_in(2));
  return r;
}

etcdserverpb::TxnRequest RandomRequests::txn(int64_t revision, int64_t compact_revision) {
  for (;;) {
    etcdserverpb::TxnRequest t = txn(revision, compact_revision, 0);
    if (check(t, 128).ok()) return t;
  }
}

etcdserverpb::TxnRequest RandomRequests::txn(int64_t revision, int64_t compact_revision, int depth) {
  using etcdserverpb::Compare;
  etcdserverpb::TxnRequest t;
  for (uint64_t i = random_.below(3); i > 0; --i) {
    Compare* c = t.add_compare();
    c->set_key(key());
    if (random_.one_in(2)) c->set_range_end(range_end(c->key()));
    c->set_result(static_cast<Compare::CompareResult>(random_.below(random_.one_in(20) ? 5 : 4)));
    c->set_target(static_cast<Compare::CompareTarget>(random_.below(random_.one_in(20) ? 6 : 5)));
    switch (random_.one_in(10) ? random_.below(5) : static_cast<uint64_t>(c->target())) {
      case Compare::VERSION: c->set_version(static_cast<int64_t>(random_.below(4))); break;
      case Compare::CREATE:
        c->set_create_revision(static_cast<int64_t>(random_.below(static_cast<uint64_t>(revision) + 2)));
        break;
      case Compare::MOD:
        c->set_mod_revision(static_cast<int64_t>(random_.below(static_cast<uint64_t>(revision) + 2)));
        break;
      case Compare::VALUE: c->set_value(value()); break;
      default: c->set_lease(random_.one_in(2) ? 0 : lease());
    }
  }
  for (auto* ops : {t.mutable_success(), t.mutable_failure()}) {
    for (uint64_t i = random_.below(4); i > 0; --i) {
      etcdserverpb::RequestOp* op = ops->Add();
      switch (random_.below(depth < 2 ? 8 : 7)) {
        case 0:
        case 1: {
          auto r = range(revision, compact_revision);
          // Otherwise most transactions would fail for a range's revision.
          if (!random_.one_in(4)) r.clear_revision();
          *op->mutable_request_range() = r;
          break;
        }
        case 2:
        case 3: *op->mutable_request_delete_range() = delete_range(); break;
        case 7: *op->mutable_request_txn() = txn(revision, compact_revision, depth + 1); break;
        default:
          *op->mutable_request_put() = put();
          if (!random_.one_in(3)) op->mutable_request_put()->clear_lease();
      }
    }
  }
  return t;
}

}  // namespace kv::store
