// A transaction: if all comparisons hold, these operations, else those; atomically and at one revision.
//
//   Txn txn;
//   txn.when({compare_version("lock", Comparison::kEqual, 0)})
//       .then({put_op("lock", "me")})
//       .otherwise({get_op("lock")});
//   Result<TxnResponse> done = client.commit(txn);
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "client/types.h"

namespace kv::client {

enum class Comparison : uint8_t { kEqual = 0, kGreater = 1, kLess = 2, kNotEqual = 3 };
enum class CompareTarget : uint8_t { kVersion = 0, kCreateRevision = 1, kModRevision = 2, kValue = 3, kLease = 4 };

// `target` of `key` (or of every key in [key, range_end)) against `operand`: bytes for kValue, else a number.
struct Compare {
  std::string key{};
  std::string range_end{};
  CompareTarget target = CompareTarget::kVersion;
  Comparison comparison = Comparison::kEqual;
  std::variant<int64_t, std::string> operand = int64_t{0};

  bool operator==(const Compare&) const = default;
};

Compare compare_version(std::string_view key, Comparison comparison, int64_t version);
Compare compare_create_revision(std::string_view key, Comparison comparison, int64_t revision);
Compare compare_mod_revision(std::string_view key, Comparison comparison, int64_t revision);
Compare compare_value(std::string_view key, Comparison comparison, std::string_view value);
Compare compare_lease(std::string_view key, Comparison comparison, int64_t lease);

struct GetOp {
  std::string key{};
  GetOptions options{};

  bool operator==(const GetOp&) const = default;
};

struct PutOp {
  std::string key{};
  std::string value{};
  PutOptions options{};

  bool operator==(const PutOp&) const = default;
};

struct RemoveOp {
  std::string key{};
  RemoveOptions options{};

  bool operator==(const RemoveOp&) const = default;
};

struct Op;

class Txn {
 public:
  // Each adds to what is there already.
  Txn& when(std::vector<Compare> compares);
  Txn& then(std::vector<Op> ops);
  Txn& otherwise(std::vector<Op> ops);

  const std::vector<Compare>& compares() const { return compares_; }
  const std::vector<Op>& success() const { return success_; }
  const std::vector<Op>& failure() const { return failure_; }

  // True when no branch writes: such a transaction may be sent twice.
  bool read_only() const;

 private:
  std::vector<Compare> compares_{};
  std::vector<Op> success_{};
  std::vector<Op> failure_{};
};

// One operation of a transaction; a transaction may nest.
struct Op {
  std::variant<GetOp, PutOp, RemoveOp, Txn> request;
};

Op get_op(std::string_view key, GetOptions options = {});
Op put_op(std::string_view key, std::string_view value, PutOptions options = {});
Op remove_op(std::string_view key, RemoveOptions options = {});
Op txn_op(Txn txn);

}  // namespace kv::client
