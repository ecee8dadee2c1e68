// The committed changes in their order, for whoever follows them: the newest from the ring in memory, older ones from
// history. Any thread.
#pragma once

#include <absl/functional/function_ref.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/history.h"

namespace kv::store {

class CurrentGeneration;
struct Generation;

// A replaced state (Store::install) shows here only as a revision that has grown and a ring that does not reach back:
// the changes of a revision are the same in every state that has them.
class ChangeSource {
 public:
  // `current` must outlive it.
  explicit ChangeSource(const CurrentGeneration& current) : current_(current) {}

  // Of the last commit.
  int64_t revision() const;
  // Changes below it may be gone. Whoever reads must look at it after the read: what was asked for at or above it was
  // there.
  int64_t compact_revision() const;

  // Calls `visit` with each change at or after `from` whose main revision is at most `upto`, in order, until it answers
  // false. `upto` is at most revision(). A change is valid during the visit only.
  using Visitor = absl::FunctionRef<bool(const Change& change)>;
  Status read(Rev from, int64_t upto, Visitor visit) const;
  // The same from the ring alone; false, and nothing is visited, when it does not reach back that far.
  Result<bool> read_recent(Rev from, int64_t upto, Visitor visit) const;

 private:
  friend class Predecessors;

  const CurrentGeneration& current_;
};

// Finds what a changed key was at the revision before. For one reader and a short time; not thread-safe.
class Predecessors {
 public:
  explicit Predecessors(const ChangeSource& source);
  // False when the key was not there, or that is compacted. `prev` is valid until the next call.
  Result<bool> find(const Change& change, Record* prev);

 private:
  void open();

  const ChangeSource& source_;
  std::shared_ptr<const Generation> generation_;
  std::optional<HistoryCursor> history_;
  Change found_;
};

}  // namespace kv::store
