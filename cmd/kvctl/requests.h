// The flags and arguments of get, put and del, and the requests that they make: the same for the commands and for the
// lines of a transaction. All checks and their texts are etcdctl's.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <variant>
#include <vector>

#include "client/txn.h"
#include "kvctl/exit.h"
#include "kvctl/flags.h"

namespace kv::kvctl {

struct GetFlags {
  std::string consistency = "l";
  std::string order{};
  std::string sort_by{};
  int64_t limit = 0;
  bool prefix = false;
  bool from_key = false;
  int64_t rev = 0;
  bool keys_only = false;
  bool count_only = false;
  bool print_value_only = false;
  int64_t min_create_rev = 0;
  int64_t max_create_rev = 0;
  int64_t min_mod_rev = 0;
  int64_t max_mod_rev = 0;

  void declare(Flags& flags);
  std::variant<client::GetOp, Exit> request(const std::vector<std::string>& arguments) const;
};

struct PutFlags {
  std::string lease = "0";
  bool prev_kv = false;
  bool ignore_value = false;
  bool ignore_lease = false;

  void declare(Flags& flags);
  // Reads the value from `in` when it is not among the arguments; a null `in` has none.
  std::variant<client::PutOp, Exit> request(const std::vector<std::string>& arguments, std::istream* in) const;
};

struct DelFlags {
  bool prefix = false;
  bool prev_kv = false;
  bool from_key = false;
  bool range = false;

  void declare(Flags& flags);
  std::variant<client::RemoveOp, Exit> request(const std::vector<std::string>& arguments) const;
};

// "l" or "s", for --consistency.
std::variant<bool, Exit> is_serializable(const std::string& consistency);

}  // namespace kv::kvctl
