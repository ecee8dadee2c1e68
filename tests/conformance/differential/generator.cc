#include "conformance/differential/generator.h"

#include <array>

namespace kv::differential {
namespace {

namespace pb = etcdserverpb;

// Neighbours in order, prefixes of each other, and bytes at both ends of the alphabet.
const std::array<std::string, 12> kKeys  // no more: see txn()
    = {"a", "aa", "ab", "b", "ba", "c", "cc", "d", "a\xff", "\xff", "\xff\xff", std::string("a\0", 2)};

constexpr size_t kMaxTxnOps = 128;
constexpr int kMaxDepth = 3;

std::string prefix_end(std::string key) {
  while (!key.empty()) {
    if (static_cast<unsigned char>(key.back()) < 0xff) {
      ++key.back();
      return key;
    }
    key.pop_back();
  }
  return std::string(1, '\0');
}

}  // namespace

std::string describe(const Request& request) {
  static constexpr std::array<const char*, 5> kNames = {"Range", "Put", "DeleteRange", "Txn", "Compact"};
  return std::string(kNames[request.index()]) + " {\n" +
         std::visit([](const auto& r) { return r.DebugString(); }, request) + "}";
}

std::string Generator::key() {
  if (chance(2)) return "";
  // Half of all requests meet on three keys.
  return chance(50) ? kKeys[random_.below(3)] : kKeys[random_.below(kKeys.size())];
}

std::string Generator::range_end(const std::string& key) {
  switch (random_.below(10)) {
    case 0:
    case 1:
    case 2: return "";
    case 3:
    case 4: return prefix_end(key);
    case 5: return std::string(1, '\0');                 // all keys from `key` on
    case 6: return key + '\0';                           // the key alone
    case 7: return key;                                  // nothing
    default: return kKeys[random_.below(kKeys.size())];  // anything, also before `key`
  }
}

std::string Generator::value() {
  switch (random_.below(6)) {
    case 0: return "";
    case 1: return std::string("\0\xff\n\"", 4);
    default: return "v" + std::to_string(random_.below(5));
  }
}

int64_t Generator::revision(const Known& known) {
  switch (random_.below(12)) {
    case 0: return known.revision;
    case 1: return known.revision - 1;
    case 2: return known.revision + 1 + static_cast<int64_t>(random_.below(3));
    case 3: return known.compacted;
    case 4: return known.compacted - 1;
    case 5: return known.compacted + 1;
    case 6: return -1;
    default: return static_cast<int64_t>(random_.below(static_cast<uint64_t>(known.revision) + 1));
  }
}

pb::RangeRequest Generator::range(const Known& known, bool in_txn) {
  pb::RangeRequest request;
  request.set_key(key());
  if (chance(75)) request.set_range_end(range_end(request.key()));
  if (chance(30)) request.set_limit(static_cast<int64_t>(random_.below(5)));
  if (chance(1)) request.set_limit(-1);
  // A revision that is refused ends the whole transaction, so that it is rarer there.
  if (chance(!in_txn ? 40 : options_.one_member ? 10 : 0)) request.set_revision(revision(known));
  if (chance(40)) request.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(random_.below(3)));
  if (chance(40)) request.set_sort_target(static_cast<pb::RangeRequest::SortTarget>(random_.below(5)));
  if (options_.one_member && chance(30)) request.set_serializable(true);
  if (chance(15)) request.set_keys_only(true);
  if (chance(15)) request.set_count_only(true);
  if (chance(12)) request.set_min_mod_revision(revision(known));
  if (chance(12)) request.set_max_mod_revision(revision(known));
  if (chance(12)) request.set_min_create_revision(revision(known));
  if (chance(12)) request.set_max_create_revision(revision(known));
  return request;
}

pb::PutRequest Generator::put() {
  pb::PutRequest request;
  request.set_key(key());
  request.set_value(value());
  if (chance(30)) request.set_prev_kv(true);
  if (chance(10)) {
    request.set_ignore_value(true);
    if (chance(80)) request.clear_value();
  }
  if (chance(4)) request.set_lease(static_cast<int64_t>(1 + random_.below(1000)));  // nobody granted it
  if (chance(request.lease() != 0 ? 40 : 8)) request.set_ignore_lease(true);
  return request;
}

pb::DeleteRangeRequest Generator::delete_range() {
  pb::DeleteRangeRequest request;
  request.set_key(key());
  if (chance(40)) request.set_range_end(range_end(request.key()));
  if (chance(40)) request.set_prev_kv(true);
  return request;
}

pb::Compare Generator::compare(const Known& known) {
  pb::Compare compare;
  compare.set_key(key());
  if (chance(25)) compare.set_range_end(range_end(compare.key()));
  compare.set_result(static_cast<pb::Compare::CompareResult>(random_.below(4)));
  const auto target = static_cast<pb::Compare::CompareTarget>(random_.below(5));
  compare.set_target(target);
  if (chance(5)) return compare;  // a target without its value
  // Sometimes the value of another target: the union then does not fit the target.
  switch (chance(5) ? static_cast<pb::Compare::CompareTarget>(random_.below(5)) : target) {
    case pb::Compare::VERSION: compare.set_version(static_cast<int64_t>(random_.below(4))); break;
    case pb::Compare::CREATE: compare.set_create_revision(chance(40) ? 0 : revision(known)); break;
    case pb::Compare::MOD: compare.set_mod_revision(chance(40) ? 0 : revision(known)); break;
    case pb::Compare::VALUE: compare.set_value(value()); break;
    default: compare.set_lease(static_cast<int64_t>(random_.below(2))); break;
  }
  return compare;
}

pb::RequestOp Generator::op(const Known& known, int depth) {
  pb::RequestOp op;
  if (chance(1)) return op;  // asks for nothing
  const uint64_t kind = random_.below(depth < kMaxDepth ? 100 : 88);
  if (kind < 38) {
    *op.mutable_request_range() = range(known, true);
  } else if (kind < 74) {
    *op.mutable_request_put() = put();
  } else if (kind < 88) {
    *op.mutable_request_delete_range() = delete_range();
  } else {
    *op.mutable_request_txn() = txn(known, depth + 1);
  }
  return op;
}

pb::TxnRequest Generator::txn(const Known& known, int depth) {
  pb::TxnRequest request;
  for (uint64_t n = random_.below(3); n > 0; --n) *request.add_compare() = compare(known);
  for (uint64_t n = random_.below(4); n > 0; --n) *request.add_success() = op(known, depth);
  for (uint64_t n = random_.below(3); n > 0; --n) *request.add_failure() = op(known, depth);
  if (!options_.one_member && request.success().empty() && request.failure().empty()) {
    *request.add_success() = op(known, depth);
  }
  if (depth == 0 && chance(3)) {
    // At the limit of operations, or one beyond it. They add no key: with more than twelve, etcd's order of keys that
    // sort alike is whatever Go's unstable sort makes of it.
    const size_t count = chance(50) ? kMaxTxnOps : kMaxTxnOps + 1;
    auto* branch = chance(50) ? request.mutable_success() : request.mutable_failure();
    branch->Clear();
    for (size_t i = 0; i < count; ++i) {
      if (i % 2 == 0) {
        *branch->Add()->mutable_request_range() = range({}, true);
      } else {
        branch->Add()->mutable_request_delete_range()->set_key("absent" + std::to_string(i));
      }
    }
  }
  return request;
}

pb::CompactionRequest Generator::compaction(const Known& known) {
  pb::CompactionRequest request;
  // Mostly a little way on, so that there stays a past to ask for.
  request.set_revision(chance(50) ? known.compacted + static_cast<int64_t>(random_.below(8)) : revision(known));
  // With `physical` the answer waits until old history is gone, and what comes next sees it gone.
  request.set_physical(chance(70));
  return request;
}

Request Generator::next(const Known& known) {
  const uint64_t kind = random_.below(100);
  if (kind < 37) return range(known, false);
  if (kind < 60) return put();
  if (kind < 68) return delete_range();
  if (kind < 97) return txn(known, 0);
  return compaction(known);
}

}  // namespace kv::differential
