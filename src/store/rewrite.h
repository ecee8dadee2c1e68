// Changes a state on disk that nobody has open, for a restore: who takes part is told anew, the revision may be moved
// on. Below the store's own rules (a commit moves the revision by one, and never the compact revision beyond it), so it
// has a place of its own.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace kv::store {

struct Rewrite {
  // What the state is said to have applied; at least what it has.
  uint64_t applied_index = 0;
  uint64_t applied_term = 0;
  // Moves the revision on by so much and marks all up to there as compacted: every read and watch at a revision of
  // before is told so, and the ones that follow have numbers that no client has ever seen. 0: neither.
  int64_t bump_revision = 0;
  // The server's records (Store::put_record) that go, by the beginning of their names, and then those that come.
  std::vector<std::string> drop_prefixes;
  std::vector<std::pair<std::string, std::string>> put_records;
};

// All of it in one atomic batch, flushed and synced. `path` is the state's directory. Returns the new revision.
// DataLoss when the state is damaged, Unavailable when somebody has it open, InvalidArgument when the bump is too
// large.
Result<int64_t> rewrite(const std::string& path, const Rewrite& change);

}  // namespace kv::store
