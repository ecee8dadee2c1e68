// Random requests to the key space, valid and invalid, over few keys so that they collide.
#pragma once

#include <string>
#include <variant>

#include "base/random.h"
#include "etcdserverpb/rpc.pb.h"

namespace kv::differential {

using Request = std::variant<etcdserverpb::RangeRequest, etcdserverpb::PutRequest, etcdserverpb::DeleteRangeRequest,
                             etcdserverpb::TxnRequest, etcdserverpb::CompactionRequest>;

// The call's name and the request as protobuf text.
std::string describe(const Request& request);

// What the generator has to know of the key space, to ask for revisions that are past, present and future.
struct Known {
  int64_t revision = 1;
  int64_t compacted = 0;
};

struct GeneratorOptions {
  // Off where requests go to several members. Then nothing is asked that a member may answer from a state of before
  // (serializable reads, and transactions without an operation, which etcd counts among them), and no transaction
  // reads at a revision: where that is refused, etcd 3.4's own members come apart (etcd-io/etcd issue 18667; this
  // runner found it too).
  bool one_member = true;
};

// The same seed and the same `Known`s give the same requests.
class Generator {
 public:
  Generator(uint64_t seed, GeneratorOptions options) : random_(seed), options_(options) {}

  Request next(const Known& known);

 private:
  // `depth` is of a nested transaction, 0 for the outermost.
  etcdserverpb::RangeRequest range(const Known& known, bool in_txn);
  etcdserverpb::PutRequest put();
  etcdserverpb::DeleteRangeRequest delete_range();
  etcdserverpb::TxnRequest txn(const Known& known, int depth);
  etcdserverpb::RequestOp op(const Known& known, int depth);
  etcdserverpb::Compare compare(const Known& known);
  etcdserverpb::CompactionRequest compaction(const Known& known);

  std::string key();
  std::string range_end(const std::string& key);
  std::string value();
  int64_t revision(const Known& known);
  bool chance(uint64_t percent) { return random_.below(100) < percent; }

  Random random_;
  GeneratorOptions options_;
};

}  // namespace kv::differential
