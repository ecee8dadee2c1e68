#include "store/auth_rights.h"

#include "store/node_tree.h"

namespace kv::store {

using etcdserverpb::RequestOp;

Status Rights::permit(const etcdserverpb::RangeRequest& request) const {
  return state_.permit_read(who_, request.key(), request.range_end());
}

Status Rights::permit(const etcdserverpb::PutRequest& request) const {
  KV_RETURN_IF_ERROR(state_.permit_write(who_, request.key(), ""));
  if (request.lease() != 0) KV_RETURN_IF_ERROR(permit_to_write_lease(request.lease()));
  if (request.prev_kv()) KV_RETURN_IF_ERROR(state_.permit_read(who_, request.key(), ""));
  return {};
}

Status Rights::permit(const etcdserverpb::DeleteRangeRequest& request) const {
  KV_RETURN_IF_ERROR(state_.permit_write(who_, request.key(), request.range_end()));
  if (request.prev_kv()) KV_RETURN_IF_ERROR(state_.permit_read(who_, request.key(), request.range_end()));
  return {};
}

Status Rights::permit(const etcdserverpb::TxnRequest& request) const {
  // A transaction that asks for nothing still comes from somebody.
  KV_RETURN_IF_ERROR(state_.permit_user(who_));
  for (const etcdserverpb::Compare& compare : request.compare()) {
    KV_RETURN_IF_ERROR(state_.permit_read(who_, compare.key(), compare.range_end()));
  }
  KV_RETURN_IF_ERROR(permit_ops(request.success()));
  return permit_ops(request.failure());
}

Status Rights::permit(const kvdpb::NodeRequest& request) const {
  using kvdpb::NodeRequest;
  const std::string& path = request.path();
  if (request.method() == NodeRequest::GET) return state_.permit_read(who_, path, "");
  // Who gives a directory a TTL has all below deleted by it. That an update is of a directory shows later: without a
  // value it may be.
  const bool ends_all = request.has_ttl_s() && (request.dir() || (request.prev_exist() && request.value().empty()));
  const bool below = request.method() == NodeRequest::POST || ends_all ||
                     (request.method() == NodeRequest::DELETE && (request.dir() || request.recursive()));
  if (request.method() != NodeRequest::POST) {
    KV_RETURN_IF_ERROR(state_.permit_write(who_, path, ""));
    KV_RETURN_IF_ERROR(state_.permit_read(who_, path, ""));
  }
  return below ? state_.permit_write(who_, below_begin(path), below_end(path)) : Status();
}

Status Rights::permit_to_list(const kvdpb::NodeRequest& request) const {
  return state_.permit_read(who_, below_begin(request.path()), below_end(request.path()));
}

Status Rights::permit_ops(const google::protobuf::RepeatedPtrField<RequestOp>& ops) const {
  for (const RequestOp& op : ops) {
    switch (op.request_case()) {
      case RequestOp::kRequestRange: KV_RETURN_IF_ERROR(permit(op.request_range())); break;
      case RequestOp::kRequestPut: KV_RETURN_IF_ERROR(permit(op.request_put())); break;
      case RequestOp::kRequestDeleteRange: KV_RETURN_IF_ERROR(permit(op.request_delete_range())); break;
      case RequestOp::kRequestTxn: KV_RETURN_IF_ERROR(permit(op.request_txn())); break;
      case RequestOp::REQUEST_NOT_SET: break;
    }
  }
  return {};
}

Status Rights::permit_to_write_lease(int64_t lease) const {
  if (state_.permit_root(who_).ok()) return {};
  KV_RETURN_IF_ERROR(state_.permit_user(who_));
  const Result<std::vector<std::string>> keys = lease_keys_(lease);
  if (!keys.ok()) return keys.status();
  for (const std::string& key : *keys) KV_RETURN_IF_ERROR(state_.permit_write(who_, key, ""));
  return {};
}

Status Rights::permit_to_read_lease(int64_t lease) const {
  if (state_.permit_root(who_).ok()) return {};
  KV_RETURN_IF_ERROR(state_.permit_user(who_));
  const Result<std::vector<std::string>> keys = lease_keys_(lease);
  return keys.ok() ? permit_to_read_keys(*keys) : keys.status();
}

Status Rights::permit_to_read_keys(const std::vector<std::string>& keys) const {
  KV_RETURN_IF_ERROR(state_.permit_user(who_));
  for (const std::string& key : keys) KV_RETURN_IF_ERROR(state_.permit_read(who_, key, ""));
  return {};
}

}  // namespace kv::store
