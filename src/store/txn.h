// etcd's Txn: the paths through nested transactions are chosen and everything is checked on the state before it,
// then the chosen operations run in order, each seeing those before.
#pragma once

#include <vector>

#include "base/status.h"
#include "etcdserverpb/rpc.pb.h"
#include "store/view.h"

namespace kv::store {

// Where a transaction reads and writes.
class TxnState {
 public:
  virtual ~TxnState() = default;

  virtual View& view() = 0;
  // The revision that a read sees now: that of the state before, one more once something has changed.
  virtual int64_t current_revision() const = 0;
  virtual int64_t compact_revision() const = 0;
  virtual bool lease_exists(int64_t lease) const = 0;
  // A range of the transaction is about to be read.
  virtual void count_range() = 0;

  // An error from here, where check_txn found none, must leave no trace: the caller rolls back.
  virtual Status txn_put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response) = 0;
  virtual Status txn_delete_range(const etcdserverpb::DeleteRangeRequest& request,
                                  etcdserverpb::DeleteRangeResponse* response) = 0;
};

// Sets everything in the response, header.revision too. On an error the response is without meaning.
Status run_txn(TxnState& state, const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response);

// The checks of a put that need the state: etcd's, in etcd's order.
Status check_put(TxnState& state, const etcdserverpb::PutRequest& request);

}  // namespace kv::store
