#include "bench/load/workload.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "bench/load/wire.h"

namespace kv::load {
namespace {

const std::string kRangePath = "/etcdserverpb.KV/Range";
const std::string kPutPath = "/etcdserverpb.KV/Put";
const std::string kTxnPath = "/etcdserverpb.KV/Txn";
const std::string kHealthPath = "/grpc.health.v1.Health/Check";

constexpr size_t kValueStock = 1 << 20;
constexpr std::string_view kKeyPrefix = "l/";
constexpr std::string_view kOwnPrefix = "o/";

constexpr uint32_t kHeaderField = 1;     // of every response
constexpr uint32_t kRevisionField = 3;   // of the header
constexpr uint32_t kKvsField = 2;        // of RangeResponse
constexpr uint32_t kSucceededField = 2;  // of TxnResponse

// header.revision, and whether field 2 was there and not zero or empty: key-values, or `succeeded`.
std::pair<int64_t, bool> scan(std::string_view answer) {
  std::pair<int64_t, bool> found{0, false};
  Field field;
  while (next_field(answer, field)) {
    if (field.id == kHeaderField) {
      std::string_view header = field.bytes;
      Field inner;
      while (next_field(header, inner)) {
        if (inner.id == kRevisionField) found.first = static_cast<int64_t>(inner.number);
      }
    } else if (field.id == kKvsField) {
      found.second = found.second || field.number != 0 || !field.bytes.empty();
      if (!field.bytes.empty()) break;  // the rest of a range is not needed
    }
  }
  static_assert(kKvsField == kSucceededField);
  return found;
}

}  // namespace

std::optional<Kind> kind_of(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, Kind>, 6> kWords = {{{"put", Kind::kPut},
                                                                               {"get", Kind::kGet},
                                                                               {"sget", Kind::kSerializableGet},
                                                                               {"txn", Kind::kTxn},
                                                                               {"mixed", Kind::kMixed},
                                                                               {"null", Kind::kNull}}};
  for (const auto& [name, kind] : kWords) {
    if (name == word) return kind;
  }
  return std::nullopt;
}

Workload::Workload(WorkloadOptions options, uint32_t callers)
    : options_(options), callers_(callers), random_(options.seed), values_(kValueStock + options.value_bytes, '\0') {
  for (char& byte : values_) byte = static_cast<char>(random_.next());
}

std::string_view Workload::key(uint64_t number) {
  key_.assign(options_.key_bytes, '0');
  std::copy(kKeyPrefix.begin(), kKeyPrefix.end(), key_.begin());
  char digits[20];
  const char* end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  std::copy(static_cast<const char*>(digits), end, key_.end() - (end - digits));
  return key_;
}

std::string_view Workload::own_key(uint32_t caller) {
  key(caller);
  std::copy(kOwnPrefix.begin(), kOwnPrefix.end(), key_.begin());
  return key_;
}

std::string_view Workload::value() {
  return std::string_view(values_).substr(random_.below(kValueStock), options_.value_bytes);
}

uint64_t Workload::pick() {
  if (options_.sequential) return next_key_++ % options_.keys;
  return random_.below(options_.keys);
}

void Workload::append_put(std::string& out, std::string_view key, std::string_view value) {
  append_bytes(out, 1, key);
  append_bytes(out, 2, value);
}

Workload::Request Workload::put(std::string_view key) {
  message_.clear();
  append_put(message_, key, value());
  return {&kPutPath, message_};
}

Workload::Request Workload::get(std::string_view key, bool serializable) {
  message_.clear();
  append_bytes(message_, 1, key);
  if (serializable) append_number(message_, 7, 1);
  return {&kRangePath, message_};
}

// if mod_revision(own) == seen { put(own) }
Workload::Request Workload::txn(uint32_t caller) {
  const std::string_view own = own_key(caller);
  message_.clear();
  inner_.clear();
  append_number(inner_, 2, 2);  // target MOD; the result EQUAL is zero and left out
  append_bytes(inner_, 3, own);
  append_number(inner_, 6, static_cast<uint64_t>(callers_[caller].mod_revision));
  append_bytes(message_, 1, inner_);

  inner_.clear();
  append_put(inner_, own, value());
  std::string op;
  append_bytes(op, 2, inner_);
  append_bytes(message_, 2, op);
  return {&kTxnPath, message_};
}

Workload::Request Workload::next(uint32_t caller) {
  Kind kind = options_.kind;
  if (kind == Kind::kMixed) {
    const uint64_t roll = random_.below(100);
    kind = roll < 75 ? Kind::kGet : roll < 95 ? Kind::kPut : Kind::kTxn;
  }
  callers_[caller].asked = kind;
  callers_[caller].loads_own = false;
  switch (kind) {
    case Kind::kPut: return put(key(pick()));
    case Kind::kGet: return get(key(pick()), false);
    case Kind::kSerializableGet: return get(key(pick()), true);
    case Kind::kTxn: return txn(caller);
    case Kind::kMixed:
    case Kind::kNull: break;
  }
  message_.clear();
  return {&kHealthPath, message_};
}

std::optional<Workload::Request> Workload::next_to_load(uint32_t caller) {
  const Kind kind = options_.kind;
  const bool reads = kind == Kind::kGet || kind == Kind::kSerializableGet || kind == Kind::kMixed;
  const bool transacts = kind == Kind::kTxn || kind == Kind::kMixed;
  callers_[caller].asked = Kind::kPut;
  if (transacts && callers_[caller].mod_revision == 0 && !callers_[caller].loads_own) {
    callers_[caller].loads_own = true;
    return put(own_key(caller));
  }
  callers_[caller].loads_own = false;
  if (reads && next_to_load_ < options_.keys) return put(key(next_to_load_++));
  return std::nullopt;
}

std::string Workload::check(uint32_t caller_number, std::string_view answer) {
  Caller& caller = callers_[caller_number];
  if (caller.asked == Kind::kNull) return "";
  const auto [revision, second] = scan(answer);
  if (revision <= 0) return "an answer without a revision";
  switch (caller.asked) {
    case Kind::kGet:
    case Kind::kSerializableGet:
      if (!second) return "a key that was put is not there";
      if (answer.size() < options_.key_bytes + options_.value_bytes) return "a value that was put is not there whole";
      return "";
    case Kind::kTxn:
      if (!second) return "a compare failed that must hold";
      caller.mod_revision = revision;
      return "";
    default:
      if (caller.loads_own) caller.mod_revision = revision;
      return "";
  }
}

}  // namespace kv::load
