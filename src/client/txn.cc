#include "client/txn.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace kv::client {
namespace {

template <typename T>
void append(std::vector<T>& to, std::vector<T> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

bool reads_only(const Op& op) {
  if (const auto* nested = std::get_if<Txn>(&op.request)) return nested->read_only();
  return std::holds_alternative<GetOp>(op.request);
}

Compare compare(std::string_view key, CompareTarget target, Comparison comparison,
                std::variant<int64_t, std::string> operand) {
  return {std::string(key), {}, target, comparison, std::move(operand)};
}

}  // namespace

Compare compare_version(std::string_view key, Comparison comparison, int64_t version) {
  return compare(key, CompareTarget::kVersion, comparison, version);
}
Compare compare_create_revision(std::string_view key, Comparison comparison, int64_t revision) {
  return compare(key, CompareTarget::kCreateRevision, comparison, revision);
}
Compare compare_mod_revision(std::string_view key, Comparison comparison, int64_t revision) {
  return compare(key, CompareTarget::kModRevision, comparison, revision);
}
Compare compare_value(std::string_view key, Comparison comparison, std::string_view value) {
  return compare(key, CompareTarget::kValue, comparison, std::string(value));
}
Compare compare_lease(std::string_view key, Comparison comparison, int64_t lease) {
  return compare(key, CompareTarget::kLease, comparison, lease);
}

Txn& Txn::when(std::vector<Compare> compares) {
  append(compares_, std::move(compares));
  return *this;
}
Txn& Txn::then(std::vector<Op> ops) {
  append(success_, std::move(ops));
  return *this;
}
Txn& Txn::otherwise(std::vector<Op> ops) {
  append(failure_, std::move(ops));
  return *this;
}
bool Txn::read_only() const {
  return std::all_of(success_.begin(), success_.end(), reads_only) &&
         std::all_of(failure_.begin(), failure_.end(), reads_only);
}

Op get_op(std::string_view key, GetOptions options) { return {GetOp{std::string(key), std::move(options)}}; }
Op put_op(std::string_view key, std::string_view value, PutOptions options) {
  return {PutOp{std::string(key), std::string(value), options}};
}
Op remove_op(std::string_view key, RemoveOptions options) { return {RemoveOp{std::string(key), std::move(options)}}; }
Op txn_op(Txn txn) { return {std::move(txn)}; }

}  // namespace kv::client
