#include "server/space_cost.h"

#include <algorithm>

namespace kv::server {
namespace {

// etcd's estimates of what stands beside a key and its value, and of a lease.
constexpr size_t kKeyOverheadBytes = 256;
constexpr size_t kLeaseBytes = 64;

size_t cost_of(const etcdserverpb::PutRequest& put) {
  return kKeyOverheadBytes + put.key().size() + put.value().size();
}

size_t cost_of(const etcdserverpb::TxnRequest& txn) {
  const auto branch = [](const auto& ops) {
    size_t cost = 0;
    for (const etcdserverpb::RequestOp& op : ops) {
      if (op.has_request_put()) cost += cost_of(op.request_put());
      if (op.has_request_txn()) cost += cost_of(op.request_txn());
    }
    return cost;
  };
  return std::max(branch(txn.success()), branch(txn.failure()));
}

}  // namespace

size_t space_cost(const kvdpb::Command& command) {
  switch (command.request_case()) {
    case kvdpb::Command::kPut: return cost_of(command.put());
    case kvdpb::Command::kTxn: return cost_of(command.txn());
    case kvdpb::Command::kNode:
      if (command.node().method() == kvdpb::NodeRequest::DELETE) return 0;
      return kKeyOverheadBytes + command.node().path().size() + command.node().value().size();
    case kvdpb::Command::kLeaseGrant: return kLeaseBytes;
    default: return 0;
  }
}

}  // namespace kv::server
