#include "store/txn.h"

#include "store/errors.h"
#include "store/range.h"

namespace kv::store {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::RangeRequest;
using etcdserverpb::RequestOp;
using etcdserverpb::ResponseOp;
using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;

// The choice of success or failure for a transaction and for each nested one on the chosen way, in the order in
// which they are met.
using Path = std::vector<bool>;

const auto& chosen_ops(const TxnRequest& request, bool succeeded) {
  return succeeded ? request.success() : request.failure();
}

template <typename T>
int three_way(const T& a, const T& b) {
  return a < b ? -1 : (b < a ? 1 : 0);
}

// A union that doesn't fit the target counts as zero or empty, and an unknown target as equal, as in etcd.
bool holds(const Compare& compare, const Record& record) {
  int result = 0;
  switch (compare.target()) {
    case Compare::VALUE: result = three_way(record.value, std::string_view(compare.value())); break;
    case Compare::CREATE: result = three_way(record.create_revision, compare.create_revision()); break;
    case Compare::MOD: result = three_way(record.mod.main, compare.mod_revision()); break;
    case Compare::VERSION: result = three_way(record.version, compare.version()); break;
    case Compare::LEASE: result = three_way(record.lease, compare.lease()); break;
    default: break;
  }
  switch (compare.result()) {
    case Compare::EQUAL: return result == 0;
    case Compare::NOT_EQUAL: return result != 0;
    case Compare::GREATER: return result > 0;
    case Compare::LESS: return result < 0;
    default: return true;
  }
}

// All keys of the range must satisfy it. Where there is none, the comparison is with an empty record, except that a
// value can't be compared with a key that isn't there.
Result<bool> holds(TxnState& state, const Compare& compare) {
  const KeyRange range = KeyRange::of(compare.key(), compare.range_end());
  const int64_t at = state.current_revision();
  bool any = false, all = true;
  if (range.single) {
    Record record;
    const Result<bool> found = state.view().get(compare.key(), at, &record);
    if (!found.ok()) return found.status();
    any = *found;
    all = !any || holds(compare, record);
  } else {
    KV_RETURN_IF_ERROR(state.view().scan(range, at, false, [&](std::string_view, const Record& record) {
      any = true;
      return all = holds(compare, record);
    }));
  }
  if (any) return all;
  return compare.target() != Compare::VALUE && holds(compare, Record());
}

Status choose_path(TxnState& state, const TxnRequest& request, Path* path) {
  bool succeeded = true;
  for (const Compare& compare : request.compare()) {
    const Result<bool> result = holds(state, compare);
    if (!result.ok()) return result.status();
    if (!*result) {
      succeeded = false;
      break;
    }
  }
  path->push_back(succeeded);
  for (const RequestOp& op : chosen_ops(request, succeeded)) {
    if (op.has_request_txn()) KV_RETURN_IF_ERROR(choose_path(state, op.request_txn(), path));
  }
  return {};
}

Status check_range_revision(const TxnState& state, const RangeRequest& request) {
  if (request.revision() == 0) return {};
  if (request.revision() > state.current_revision()) return future_revision_error();
  if (request.revision() < state.compact_revision()) return compacted_error();
  return {};
}

// `at` walks along the path.
Status check_ops(TxnState& state, const TxnRequest& request, Path::const_iterator& at) {
  const bool succeeded = *at++;
  for (const RequestOp& op : chosen_ops(request, succeeded)) {
    switch (op.request_case()) {
      case RequestOp::kRequestRange: KV_RETURN_IF_ERROR(check_range_revision(state, op.request_range())); break;
      case RequestOp::kRequestPut: KV_RETURN_IF_ERROR(check_put(state, op.request_put())); break;
      case RequestOp::kRequestTxn: KV_RETURN_IF_ERROR(check_ops(state, op.request_txn(), at)); break;
      default: break;
    }
  }
  return {};
}

Status run_ops(TxnState& state, const TxnRequest& request, Path::const_iterator& at, TxnResponse* response) {
  const bool succeeded = *at++;
  response->set_succeeded(succeeded);
  response->mutable_header();  // etcd leaves it empty in a nested answer
  for (const RequestOp& op : chosen_ops(request, succeeded)) {
    ResponseOp* answer = response->add_responses();
    switch (op.request_case()) {
      case RequestOp::kRequestRange:
        state.count_range();
        KV_RETURN_IF_ERROR(answer_range(state.view(), state.current_revision(), state.compact_revision(),
                                        op.request_range(), answer->mutable_response_range()));
        break;
      case RequestOp::kRequestPut:
        KV_RETURN_IF_ERROR(state.txn_put(op.request_put(), answer->mutable_response_put()));
        break;
      case RequestOp::kRequestDeleteRange:
        KV_RETURN_IF_ERROR(state.txn_delete_range(op.request_delete_range(), answer->mutable_response_delete_range()));
        break;
      case RequestOp::kRequestTxn:
        KV_RETURN_IF_ERROR(run_ops(state, op.request_txn(), at, answer->mutable_response_txn()));
        break;
      case RequestOp::REQUEST_NOT_SET: break;
    }
  }
  return {};
}

}  // namespace

Status check_put(TxnState& state, const etcdserverpb::PutRequest& request) {
  if (request.lease() != 0 && !state.lease_exists(request.lease())) return lease_not_found_error();
  if (!request.ignore_value() && !request.ignore_lease()) return {};
  Record record;
  const Result<bool> found = state.view().get(request.key(), state.current_revision(), &record);
  if (!found.ok()) return found.status();
  return *found ? Status() : key_not_found_error();
}

Status run_txn(TxnState& state, const TxnRequest& request, TxnResponse* response) {
  response->Clear();
  Path path;
  KV_RETURN_IF_ERROR(choose_path(state, request, &path));
  Path::const_iterator at = path.begin();
  KV_RETURN_IF_ERROR(check_ops(state, request, at));
  at = path.begin();
  KV_RETURN_IF_ERROR(run_ops(state, request, at, response));
  response->mutable_header()->set_revision(state.current_revision());
  return {};
}

bool is_read_only(const TxnRequest& request) {
  for (const auto* ops : {&request.success(), &request.failure()}) {
    for (const RequestOp& op : *ops) {
      if (!op.has_request_range()) return false;
    }
  }
  return true;
}

}  // namespace kv::store
