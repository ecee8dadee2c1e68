#include "client/namespace.h"

#include <utility>
#include <variant>
#include <vector>

namespace kv::client {
namespace {

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

}  // namespace

Status Namespace::check(std::string_view key) const {
  if (is_all() || !key.empty()) return {};
  return Status(Code::kInvalidArgument, "etcdserver: key is not provided");
}

Status Namespace::check(const Txn& txn) const {
  if (is_all()) return {};
  for (const Compare& compare : txn.compares()) KV_RETURN_IF_ERROR(check(compare.key));
  for (const auto* ops : {&txn.success(), &txn.failure()}) {
    for (const Op& op : *ops) {
      KV_RETURN_IF_ERROR(std::visit(Overloaded{
                                        [&](const Txn& nested) { return check(nested); },
                                        [&](const auto& one) { return check(one.key); },
                                    },
                                    op.request));
    }
  }
  return {};
}

std::string Namespace::range_end(std::string_view end) const {
  if (is_all() || end.empty()) return std::string(end);
  if (end == unbounded()) return prefix_end(prefix_);
  return prefix_ + std::string(end);
}

Op Namespace::op(const Op& from) const {
  return std::visit(Overloaded{
                        [&](const Txn& nested) { return txn_op(txn(nested)); },
                        [&](const PutOp& put) { return put_op(key(put.key), put.value, put.options); },
                        [&](auto ranged) {
                          ranged.key = key(ranged.key);
                          ranged.options.range_end = range_end(ranged.options.range_end);
                          return Op{std::move(ranged)};
                        },
                    },
                    from.request);
}

Txn Namespace::txn(const Txn& from) const {
  std::vector<Compare> compares = from.compares();
  for (Compare& compare : compares) {
    compare.key = key(compare.key);
    compare.range_end = range_end(compare.range_end);
  }
  std::vector<Op> success;
  for (const Op& one : from.success()) success.push_back(op(one));
  std::vector<Op> failure;
  for (const Op& one : from.failure()) failure.push_back(op(one));
  Txn to;
  to.when(std::move(compares)).then(std::move(success)).otherwise(std::move(failure));
  return to;
}

void Namespace::strip(GetResponse& response) const {
  for (KeyValue& kv : response.kvs) strip(kv.key);
}

void Namespace::strip(PutResponse& response) const {
  if (response.prev_kv) strip(response.prev_kv->key);
}

void Namespace::strip(RemoveResponse& response) const {
  for (KeyValue& kv : response.prev_kvs) strip(kv.key);
}

void Namespace::strip(TxnResponse& response) const {
  for (OpResponse& one : response.responses) {
    std::visit(Overloaded{[](std::monostate&) {}, [&](auto& answer) { strip(answer); }}, one.answer);
  }
}

void Namespace::strip(LeaseTimeToLiveResponse& response) const {
  std::erase_if(response.keys, [&](const std::string& key) { return !key.starts_with(prefix_); });
  for (std::string& key : response.keys) strip(key);
}

}  // namespace kv::client
