// What is asked, and whether what comes back can be true.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace kv::load {

enum class Kind : uint8_t {
  kPut,
  kGet,  // linearizable
  kSerializableGet,
  kTxn,    // put if mod_revision is what this caller saw last
  kMixed,  // of a hundred: 75 linearizable gets, 20 puts, 5 transactions
  kNull,   // grpc.health.v1.Health/Check: the call itself
};
// Nothing for a word that names no kind.
std::optional<Kind> kind_of(std::string_view word);

struct WorkloadOptions {
  Kind kind = Kind::kPut;
  uint64_t keys = 100000;   // random ones of so many
  bool sequential = false;  // each key in turn instead
  size_t key_bytes = 16;    // at least 12
  size_t value_bytes = 256;
  uint64_t seed = 1;
};

// Makes the requests of all callers. A caller is one call in flight at a time, numbered from 0.
class Workload {
 public:
  Workload(WorkloadOptions options, uint32_t callers);

  // The next request of a caller; both views are valid until the next call of any.
  struct Request {
    const std::string* path;
    std::string_view message;
  };
  Request next(uint32_t caller);

  // What must be there before: each call puts the next key (and for transactions each caller's own). Nothing when done.
  std::optional<Request> next_to_load(uint32_t caller);

  // Looks at an answer to next() or next_to_load(); empty when it is good, else what is wrong with it.
  std::string check(uint32_t caller, std::string_view answer);

 private:
  struct Caller {
    Kind asked = Kind::kPut;
    bool loads_own = false;
    int64_t mod_revision = 0;  // of its own key, for transactions
  };

  std::string_view key(uint64_t number);
  std::string_view own_key(uint32_t caller);
  std::string_view value();
  void append_put(std::string& out, std::string_view key, std::string_view value);
  Request put(std::string_view key);
  Request get(std::string_view key, bool serializable);
  Request txn(uint32_t caller);
  uint64_t pick();

  WorkloadOptions options_;
  std::vector<Caller> callers_;
  Random random_;
  std::string key_;
  std::string values_;  // random bytes; a value is a piece of them
  std::string message_;
  std::string inner_;
  uint64_t next_key_ = 0;
  uint64_t next_to_load_ = 0;
  uint32_t next_own_to_load_ = 0;
};

}  // namespace kv::load
