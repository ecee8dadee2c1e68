// Random requests over a small key space, so that they meet often. The same seed gives the same requests.
#pragma once

#include <string>

#include "base/random.h"
#include "etcdserverpb/rpc.pb.h"

namespace kv::store {

class RandomRequests {
 public:
  // Keys are up to `key_length` of the first so many letters: the fewer, the longer is each one's history.
  explicit RandomRequests(uint64_t seed, uint64_t letters = 4, uint64_t key_length = 3)
      : random_(seed), letters_(letters), key_length_(key_length) {}

  Random& random() { return random_; }

  // `revision` and `compact_revision` are the present ones; most revisions asked for lie between, some beyond.
  etcdserverpb::RangeRequest range(int64_t revision, int64_t compact_revision);
  etcdserverpb::PutRequest put();
  etcdserverpb::DeleteRangeRequest delete_range();
  // Leases have ids from 1 to 8, so that grants, puts and revokes meet.
  etcdserverpb::LeaseGrantRequest lease_grant();
  etcdserverpb::LeaseRevokeRequest lease_revoke();
  etcdserverpb::LeaseCheckpointRequest lease_checkpoint();
  // One that passes check().
  etcdserverpb::TxnRequest txn(int64_t revision, int64_t compact_revision);

  std::string key();
  std::string value();
  // A range_end for `key`: a single key, an interval, a prefix, from the key on, or nonsense.
  std::string range_end(const std::string& key);
  int64_t revision_near(int64_t revision, int64_t compact_revision);

 private:
  int64_t lease();
  etcdserverpb::TxnRequest txn(int64_t revision, int64_t compact_revision, int depth);

  Random random_;
  const uint64_t letters_, key_length_;
};

}  // namespace kv::store
