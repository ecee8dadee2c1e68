// The checks that need no state, in etcd's order (server/etcdserver/api/v3rpc/key.go).
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "store/errors.h"
#include "store/store.h"

namespace kv::store {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

using Ops = google::protobuf::RepeatedPtrField<RequestOp>;

Status no_key() { return {Code::kInvalidArgument, "etcdserver: key is not provided"}; }
Status duplicate_key() { return {Code::kInvalidArgument, "etcdserver: duplicate key given in txn request"}; }

Status check_txn_ops(const TxnRequest& request, int64_t max_txn_ops);

Status check_op(const RequestOp& op, int64_t max_txn_ops) {
  switch (op.request_case()) {
    case RequestOp::kRequestRange: return check(op.request_range());
    case RequestOp::kRequestPut: return check(op.request_put());
    case RequestOp::kRequestDeleteRange: return check(op.request_delete_range());
    case RequestOp::kRequestTxn: return check_txn_ops(op.request_txn(), max_txn_ops);
    case RequestOp::REQUEST_NOT_SET: break;
  }
  return key_not_found_error();
}

// A nested transaction may have what the one around it has left, so the depth is bounded too.
Status check_txn_ops(const TxnRequest& request, int64_t max_txn_ops) {
  const int64_t ops = std::max({request.compare_size(), request.success_size(), request.failure_size()});
  if (ops > max_txn_ops) return {Code::kInvalidArgument, "etcdserver: too many operations in txn request"};
  for (const auto& compare : request.compare()) {
    if (compare.key().empty()) return no_key();
  }
  for (const RequestOp& op : request.success()) KV_RETURN_IF_ERROR(check_op(op, max_txn_ops - ops));
  for (const RequestOp& op : request.failure()) KV_RETURN_IF_ERROR(check_op(op, max_txn_ops - ops));
  return {};
}

// A set of keys as disjoint intervals [begin, end).
class Intervals {
 public:
  void add(std::string_view begin, std::string_view end) {
    if (begin >= end) return;
    auto it = ends_.upper_bound(begin);
    if (it != ends_.begin() && std::prev(it)->second >= begin) --it;
    std::string from(begin), to(end);
    while (it != ends_.end() && it->first <= to) {
      from = std::min(from, it->first);
      to = std::max(to, it->second);
      it = ends_.erase(it);
    }
    ends_.emplace(std::move(from), std::move(to));
  }
  void add(const Intervals& other) {
    for (const auto& [begin, end] : other.ends_) add(begin, end);
  }
  bool contains(std::string_view key) const {
    const auto it = ends_.upper_bound(key);
    return it != ends_.begin() && key < std::prev(it)->second;
  }

 private:
  std::map<std::string, std::string, std::less<>> ends_;  // begin -> end
};

struct Touched {
  std::set<std::string_view> puts;
  Intervals deletes;
};

// Refuses what could change a key twice within one transaction. As in etcd, with two of its oddities: a delete "from
// this key on" (range_end "\0") collides with nothing, and a delete in a later nested transaction doesn't
// collide with a put in an earlier one.
Status check_intervals(const Ops& ops, Touched* touched) {
  for (const RequestOp& op : ops) {
    if (!op.has_request_delete_range()) continue;
    const auto& request = op.request_delete_range();
    if (request.range_end().empty()) {
      touched->deletes.add(request.key(), request.key() + '\0');
    } else {
      touched->deletes.add(request.key(), request.range_end());
    }
  }
  for (const RequestOp& op : ops) {
    if (!op.has_request_txn()) continue;
    Touched then, otherwise;
    KV_RETURN_IF_ERROR(check_intervals(op.request_txn().success(), &then));
    KV_RETURN_IF_ERROR(check_intervals(op.request_txn().failure(), &otherwise));
    for (const std::string_view key : then.puts) {
      if (touched->deletes.contains(key) || !touched->puts.insert(key).second) return duplicate_key();
    }
    for (const std::string_view key : otherwise.puts) {
      // One of the two branches runs, so both may put the same key.
      if (!touched->puts.insert(key).second && !then.puts.contains(key)) return duplicate_key();
      if (touched->deletes.contains(key)) return duplicate_key();
    }
    touched->deletes.add(then.deletes);
    touched->deletes.add(otherwise.deletes);
  }
  for (const RequestOp& op : ops) {
    if (!op.has_request_put()) continue;
    const std::string_view key = op.request_put().key();
    if (touched->deletes.contains(key) || !touched->puts.insert(key).second) return duplicate_key();
  }
  return {};
}

}  // namespace

Status check(const RangeRequest& request) {
  if (request.key().empty()) return no_key();
  if (!etcdserverpb::RangeRequest_SortOrder_IsValid(request.sort_order()) ||
      !etcdserverpb::RangeRequest_SortTarget_IsValid(request.sort_target())) {
    return {Code::kInvalidArgument, "etcdserver: invalid sort option"};
  }
  return {};
}

Status check_stream(const RangeRequest& request) {
  KV_RETURN_IF_ERROR(check(request));
  if (request.sort_order() != RangeRequest::NONE &&
      !(request.sort_target() == RangeRequest::KEY && request.sort_order() == RangeRequest::ASCEND)) {
    return {Code::kUnimplemented, "RangeStream does not support custom sort orders"};
  }
  if (request.min_mod_revision() != 0 || request.max_mod_revision() != 0 || request.min_create_revision() != 0 ||
      request.max_create_revision() != 0) {
    return {Code::kUnimplemented, "RangeStream does not support revision filters"};
  }
  return {};
}

Status check(const etcdserverpb::PutRequest& request) {
  if (request.key().empty()) return no_key();
  if (request.ignore_value() && !request.value().empty()) {
    return {Code::kInvalidArgument, "etcdserver: value is provided"};
  }
  if (request.ignore_lease() && request.lease() != 0) {
    return {Code::kInvalidArgument, "etcdserver: lease is provided"};
  }
  return {};
}

Status check(const etcdserverpb::DeleteRangeRequest& request) { return request.key().empty() ? no_key() : Status(); }

Status check(const etcdserverpb::LeaseGrantRequest& request) {
  if (request.ttl() > kMaxLeaseTtlS) return lease_ttl_too_large_error();
  return {};
}

Status check(const TxnRequest& request, size_t max_txn_ops) {
  KV_RETURN_IF_ERROR(check_txn_ops(request, static_cast<int64_t>(max_txn_ops)));
  Touched success, failure;
  KV_RETURN_IF_ERROR(check_intervals(request.success(), &success));
  return check_intervals(request.failure(), &failure);
}

}  // namespace kv::store
