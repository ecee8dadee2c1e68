#include "model.h"

#include <algorithm>

namespace kv::store {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::RangeRequest;
using mvccpb::KeyValue;

Status compacted() { return {Code::kOutOfRange, "etcdserver: mvcc: required revision has been compacted"}; }
Status future() { return {Code::kOutOfRange, "etcdserver: mvcc: required revision is a future revision"}; }
Status no_such_key() { return {Code::kInvalidArgument, "etcdserver: key not found"}; }
Status no_such_lease() { return {Code::kNotFound, "etcdserver: requested lease not found"}; }

bool holds(const Compare& c, const KeyValue& kv) {
  const auto order = [](const auto& a, const auto& b) { return a < b ? -1 : a == b ? 0 : 1; };
  int r = 0;
  if (c.target() == Compare::VALUE) r = order(kv.value(), c.value());
  if (c.target() == Compare::CREATE) r = order(kv.create_revision(), c.create_revision());
  if (c.target() == Compare::MOD) r = order(kv.mod_revision(), c.mod_revision());
  if (c.target() == Compare::VERSION) r = order(kv.version(), c.version());
  if (c.target() == Compare::LEASE) r = order(kv.lease(), c.lease());
  if (c.result() == Compare::EQUAL) return r == 0;
  if (c.result() == Compare::NOT_EQUAL) return r != 0;
  if (c.result() == Compare::GREATER) return r > 0;
  if (c.result() == Compare::LESS) return r < 0;
  return true;
}

}  // namespace

std::vector<KeyValue> Model::keys_at(const std::string& key, const std::string& range_end, int64_t at) const {
  std::vector<KeyValue> out;
  for (const auto& [k, versions] : versions_) {
    const bool wanted = range_end.empty()                   ? k == key
                        : range_end == std::string("\0", 1) ? k >= key
                                                            : k >= key && k < range_end;
    if (!wanted) continue;
    const Version* newest = nullptr;
    for (const Version& v : versions) {
      if (v.main <= at) newest = &v;
    }
    if (newest != nullptr && !newest->tombstone) out.push_back(newest->kv);
  }
  return out;
}

Status Model::range(const RangeRequest& r, etcdserverpb::RangeResponse* response) const {
  response->Clear();
  int64_t at = r.revision();
  if (at > now()) return future();
  if (at <= 0) at = now();
  if (at < compact_revision_) return compacted();
  response->mutable_header()->set_revision(now());
  std::vector<KeyValue> kvs = keys_at(r.key(), r.range_end(), at);
  response->set_count(static_cast<int64_t>(kvs.size()));
  if (r.count_only()) return {};

  const bool filters =
      r.min_mod_revision() || r.max_mod_revision() || r.min_create_revision() || r.max_create_revision();
  const bool default_order = r.sort_order() == RangeRequest::NONE ||
                             (r.sort_target() == RangeRequest::KEY && r.sort_order() == RangeRequest::ASCEND);
  if (default_order && !filters && r.limit() > 0 && kvs.size() > static_cast<size_t>(r.limit()) + 1) {
    kvs.resize(static_cast<size_t>(r.limit()) + 1);
  }
  std::erase_if(kvs, [&](const KeyValue& kv) {
    return (r.max_mod_revision() && kv.mod_revision() > r.max_mod_revision()) ||
           (r.min_mod_revision() && kv.mod_revision() < r.min_mod_revision()) ||
           (r.max_create_revision() && kv.create_revision() > r.max_create_revision()) ||
           (r.min_create_revision() && kv.create_revision() < r.min_create_revision());
  });
  auto order = r.sort_order();
  if (r.sort_target() != RangeRequest::KEY && order == RangeRequest::NONE) order = RangeRequest::ASCEND;
  const auto less = [&](const KeyValue& a, const KeyValue& b) {
    switch (r.sort_target()) {
      case RangeRequest::VERSION: return a.version() < b.version();
      case RangeRequest::CREATE: return a.create_revision() < b.create_revision();
      case RangeRequest::MOD: return a.mod_revision() < b.mod_revision();
      case RangeRequest::VALUE: return a.value() < b.value();
      default: return a.key() < b.key();
    }
  };
  if (order == RangeRequest::ASCEND) std::stable_sort(kvs.begin(), kvs.end(), less);
  if (order == RangeRequest::DESCEND) {
    std::stable_sort(kvs.begin(), kvs.end(), [&](const KeyValue& a, const KeyValue& b) { return less(b, a); });
  }
  if (r.limit() > 0 && kvs.size() > static_cast<size_t>(r.limit())) {
    kvs.resize(static_cast<size_t>(r.limit()));
    response->set_more(true);
  }
  for (KeyValue& kv : kvs) {
    if (r.keys_only()) {
      kv.clear_value();
      if (r.sort_target() != RangeRequest::VALUE) kv.clear_lease();
    }
    *response->add_kvs() = kv;
  }
  return {};
}

Status Model::do_put(const etcdserverpb::PutRequest& r, etcdserverpb::PutResponse* response) {
  const std::vector<KeyValue> before = keys_at(r.key(), "", now());
  if ((r.ignore_value() || r.ignore_lease()) && before.empty()) return no_such_key();
  if (r.prev_kv() && !before.empty()) *response->mutable_prev_kv() = before[0];
  Version v;
  v.main = revision_ + 1;
  v.sub = changes_;
  v.kv.set_key(r.key());
  v.kv.set_value(r.ignore_value() ? before[0].value() : r.value());
  v.kv.set_lease(r.ignore_lease() ? before[0].lease() : r.lease());
  v.kv.set_mod_revision(v.main);
  v.kv.set_create_revision(before.empty() ? v.main : before[0].create_revision());
  v.kv.set_version(before.empty() ? 1 : before[0].version() + 1);
  versions_[r.key()].push_back(v);
  ++changes_;
  response->mutable_header()->set_revision(now());
  return {};
}

void Model::do_delete(const etcdserverpb::DeleteRangeRequest& r, etcdserverpb::DeleteRangeResponse* response) {
  for (const KeyValue& kv : keys_at(r.key(), r.range_end(), now())) {
    if (r.prev_kv()) *response->add_prev_kvs() = kv;
    Version v;
    v.main = revision_ + 1;
    v.sub = changes_;
    v.tombstone = true;
    versions_[kv.key()].push_back(v);
    ++changes_;
    response->set_deleted(response->deleted() + 1);
  }
  response->mutable_header()->set_revision(now());
}

void Model::end_command() {
  revision_ = now();
  changes_ = 0;
}

Status Model::put(const etcdserverpb::PutRequest& r, etcdserverpb::PutResponse* response) {
  response->Clear();
  if (r.lease() != 0 && !leases_.contains(r.lease())) return no_such_lease();
  const Status s = do_put(r, response);
  end_command();
  return s;
}

Status Model::delete_range(const etcdserverpb::DeleteRangeRequest& r, etcdserverpb::DeleteRangeResponse* response) {
  response->Clear();
  do_delete(r, response);
  end_command();
  return {};
}

bool Model::compares_hold(const etcdserverpb::TxnRequest& r) const {
  for (const Compare& c : r.compare()) {
    const auto kvs = keys_at(c.key(), c.range_end(), now());
    if (kvs.empty()) {
      if (c.target() == Compare::VALUE || !holds(c, KeyValue())) return false;
    }
    for (const KeyValue& kv : kvs) {
      if (!holds(c, kv)) return false;
    }
  }
  return true;
}

void Model::choose(const etcdserverpb::TxnRequest& r, std::vector<bool>* path) const {
  const bool succeeded = compares_hold(r);
  path->push_back(succeeded);
  for (const auto& op : succeeded ? r.success() : r.failure()) {
    if (op.has_request_txn()) choose(op.request_txn(), path);
  }
}

Status Model::check(const etcdserverpb::TxnRequest& r, const std::vector<bool>& path, size_t* at) const {
  const bool succeeded = path[(*at)++];
  for (const auto& op : succeeded ? r.success() : r.failure()) {
    if (op.has_request_range()) {
      const int64_t revision = op.request_range().revision();
      if (revision != 0 && revision > revision_) return future();
      if (revision != 0 && revision < compact_revision_) return compacted();
    }
    if (op.has_request_put()) {
      const auto& p = op.request_put();
      if (p.lease() != 0 && !leases_.contains(p.lease())) return no_such_lease();
      if ((p.ignore_lease() || p.ignore_value()) && keys_at(p.key(), "", revision_).empty()) return no_such_key();
    }
    if (op.has_request_txn()) KV_RETURN_IF_ERROR(check(op.request_txn(), path, at));
  }
  return {};
}

Status Model::run(const etcdserverpb::TxnRequest& r, const std::vector<bool>& path, size_t* at,
                  etcdserverpb::TxnResponse* response) {
  response->set_succeeded(path[(*at)++]);
  response->mutable_header();
  for (const auto& op : response->succeeded() ? r.success() : r.failure()) {
    auto* answer = response->add_responses();
    if (op.has_request_range()) KV_RETURN_IF_ERROR(range(op.request_range(), answer->mutable_response_range()));
    if (op.has_request_put()) KV_RETURN_IF_ERROR(do_put(op.request_put(), answer->mutable_response_put()));
    if (op.has_request_delete_range()) {
      do_delete(op.request_delete_range(), answer->mutable_response_delete_range());
    }
    if (op.has_request_txn()) KV_RETURN_IF_ERROR(run(op.request_txn(), path, at, answer->mutable_response_txn()));
  }
  return {};
}

Status Model::txn(const etcdserverpb::TxnRequest& r, etcdserverpb::TxnResponse* response) {
  response->Clear();
  std::vector<bool> path;
  choose(r, &path);
  size_t at = 0;
  KV_RETURN_IF_ERROR(check(r, path, &at));
  at = 0;
  if (const Status s = run(r, path, &at, response); !s.ok()) {
    for (auto& [key, versions] : versions_)
      std::erase_if(versions, [&](const Version& v) { return v.main > revision_; });
    changes_ = 0;
    return s;
  }
  response->mutable_header()->set_revision(now());
  end_command();
  return {};
}

std::vector<std::string> Model::lease_keys(int64_t id) const {
  std::vector<std::string> keys;
  for (const KeyValue& kv : keys_at("", std::string("\0", 1), now())) {
    if (kv.lease() == id) keys.push_back(kv.key());
  }
  return keys;
}

Status Model::lease_grant(const etcdserverpb::LeaseGrantRequest& r, etcdserverpb::LeaseGrantResponse* response) {
  response->Clear();
  if (r.ttl() > 9000000000) return {Code::kOutOfRange, "etcdserver: too large lease TTL"};
  if (leases_.contains(r.id())) return {Code::kFailedPrecondition, "etcdserver: lease already exists"};
  leases_[r.id()] = {r.ttl(), 0};
  response->set_id(r.id());
  response->set_ttl(r.ttl());
  response->mutable_header()->set_revision(revision_);
  return {};
}

Status Model::lease_revoke(const etcdserverpb::LeaseRevokeRequest& r, etcdserverpb::LeaseRevokeResponse* response) {
  response->Clear();
  if (leases_.erase(r.id()) == 0) return no_such_lease();
  for (const std::string& key : lease_keys(r.id())) {
    etcdserverpb::DeleteRangeRequest one;
    one.set_key(key);
    etcdserverpb::DeleteRangeResponse ignored;
    do_delete(one, &ignored);
  }
  end_command();
  response->mutable_header()->set_revision(revision_);
  return {};
}

Status Model::lease_checkpoint(const etcdserverpb::LeaseCheckpointRequest& r,
                               etcdserverpb::LeaseCheckpointResponse* response) {
  response->Clear();
  for (const auto& c : r.checkpoints()) {
    if (leases_.contains(c.id())) leases_[c.id()].second = c.remaining_ttl();
  }
  response->mutable_header()->set_revision(revision_);
  return {};
}

Status Model::compact(const etcdserverpb::CompactionRequest& r, etcdserverpb::CompactionResponse* response) {
  response->Clear();
  if (r.revision() <= compact_revision_) return compacted();
  if (r.revision() > revision_) return future();
  compact_revision_ = r.revision();
  response->mutable_header()->set_revision(revision_);
  return {};
}

}  // namespace kv::store
