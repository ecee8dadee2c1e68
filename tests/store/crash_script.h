// A sequence of batches that is a function of seed and index alone, so that both the process that is killed and the
// model that checks it know what each applied index stands for.
#pragma once

#include <string>
#include <type_traits>

#include "model.h"
#include "random_requests.h"
#include "store/store.h"

namespace kv::store {

template <typename Request>
struct ResponseType;
template <>
struct ResponseType<etcdserverpb::PutRequest> {
  using type = etcdserverpb::PutResponse;
};
template <>
struct ResponseType<etcdserverpb::DeleteRangeRequest> {
  using type = etcdserverpb::DeleteRangeResponse;
};
template <>
struct ResponseType<etcdserverpb::TxnRequest> {
  using type = etcdserverpb::TxnResponse;
};
template <>
struct ResponseType<etcdserverpb::CompactionRequest> {
  using type = etcdserverpb::CompactionResponse;
};
template <>
struct ResponseType<etcdserverpb::LeaseGrantRequest> {
  using type = etcdserverpb::LeaseGrantResponse;
};
template <>
struct ResponseType<etcdserverpb::LeaseRevokeRequest> {
  using type = etcdserverpb::LeaseRevokeResponse;
};
template <typename Request>
using ResponseOf = typename ResponseType<std::remove_cvref_t<Request>>::type;

// `target` is a Model or an ApplyBatch.
template <typename Target>
Status apply_to(Target& target, const etcdserverpb::PutRequest& r, etcdserverpb::PutResponse* out) {
  return target.put(r, out);
}
template <typename Target>
Status apply_to(Target& target, const etcdserverpb::DeleteRangeRequest& r, etcdserverpb::DeleteRangeResponse* out) {
  return target.delete_range(r, out);
}
template <typename Target>
Status apply_to(Target& target, const etcdserverpb::TxnRequest& r, etcdserverpb::TxnResponse* out) {
  return target.txn(r, out);
}
template <typename Target>
Status apply_to(Target& target, const etcdserverpb::CompactionRequest& r, etcdserverpb::CompactionResponse* out) {
  return target.compact(r, out);
}
template <typename Target>
Status apply_to(Target& target, const etcdserverpb::LeaseGrantRequest& r, etcdserverpb::LeaseGrantResponse* out) {
  return target.lease_grant(r, out);
}
template <typename Target>
Status apply_to(Target& target, const etcdserverpb::LeaseRevokeRequest& r, etcdserverpb::LeaseRevokeResponse* out) {
  return target.lease_revoke(r, out);
}

inline StoreOptions crash_options(const std::string& path) {
  StoreOptions o;
  o.path = path;
  o.write_buffer_bytes = 256 << 10;  // so that a flush is always under way
  o.block_cache_bytes = 4 << 20;
  o.recent_bytes = 16 << 10;
  o.head_cache_bytes = 16 << 10;
  o.keys_per_block = 4;
  o.changes_per_checkpoint = 500;
  o.changes_per_compaction_step = 100;
  return o;
}

class CrashScript {
 public:
  explicit CrashScript(uint64_t seed) : seed_(seed) {}

  // Calls `apply` with each command of batch `index`.
  template <typename Apply>
  void apply(uint64_t index, Apply apply) const {
    RandomRequests requests(seed_ * 1000003 + index);
    for (uint64_t n = 1 + requests.random().below(8); n > 0; --n) {
      switch (requests.random().below(11)) {
        case 0: (void)apply(requests.delete_range()); break;
        case 1:
          // Which revisions there are depends on what was applied; most are refused alike everywhere.
          (void)apply(requests.txn(static_cast<int64_t>(2 * index), static_cast<int64_t>(index)));
          break;
        case 8:
        case 9: (void)apply(requests.lease_grant()); break;
        case 10: (void)apply(requests.lease_revoke()); break;
        default: {
          auto put = requests.put();
          if (!put.ignore_value()) put.set_value(put.value() + std::string(requests.random().below(600), 'x'));
          (void)apply(put);
        }
      }
    }
    if (index % 50 == 0) {
      etcdserverpb::CompactionRequest compact;
      compact.set_revision(static_cast<int64_t>(2 * index));
      (void)apply(compact);
    }
  }

 private:
  const uint64_t seed_;
};

}  // namespace kv::store
