// One member's raft log on a simulated disk. A write is at once visible to whoever reads (or only once it is on
// disk, see Visibility), and durable only after a sync. A crash keeps every synced write and a random prefix of
// the rest: the writes are one sequence, as in a write-ahead log, and each is whole or gone, because its record
// carries a checksum.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/random.h"
#include "breaks.h"
#include "raft/core/core.h"
#include "raft/types.h"

namespace kv::sim {

// What a log holds: the place it begins after, entries, hard state.
class LogImage {
 public:
  raft::SnapshotMeta start;
  std::deque<raft::Entry> entries;
  raft::HardState hard_state;

  raft::Index first_index() const { return start.index + 1; }
  raft::Index last_index() const { return start.index + entries.size(); }
  std::optional<raft::Term> term(raft::Index index) const;
  const raft::Entry& at(raft::Index index) const;

  // False: the entries would leave a hole or touch what lies before the log's start; nothing is changed.
  // `keep_tail` is the bug that Break::kKeepOverwrittenTail stands for.
  [[nodiscard]] bool append(const std::vector<raft::Entry>& added, bool keep_tail);
  // The log now begins after `meta`; all entries go when the log does not reach it or disagrees with its term.
  void begin_after(const raft::SnapshotMeta& meta);
};

class SimDisk final : public raft::LogReader {
 public:
  enum class Visibility : uint8_t {
    kAtWrite,  // readers see what was written
    kAtSync,   // readers see only what is on disk: the least that LogReader promises
  };

  SimDisk(Visibility visibility, Break broken, const LogImage& initial);

  // ---- writing; the answers are numbers for durable_to() ----
  // nullopt: the entries do not fit the log, which is a bug of whoever made them.
  std::optional<uint64_t> write(const std::optional<raft::HardState>& hard_state, std::vector<raft::Entry> entries);
  uint64_t begin_after(const raft::SnapshotMeta& meta);

  // Everything up to `number` is on disk.
  void sync(uint64_t number);
  uint64_t durable_to() const { return durable_to_; }
  uint64_t written_to() const { return durable_to_ + pending_.size(); }

  // The process ends. With `torn`, a random prefix of what was not synced survives. Returns how many writes
  // were lost.
  size_t crash(Random& random, bool torn);

  const LogImage& written() const { return written_; }
  const LogImage& durable() const { return durable_; }

  // ---- LogReader ----
  raft::Index first_index() const override { return seen().first_index(); }
  raft::Index last_index() const override { return seen().last_index(); }
  std::optional<raft::Term> term(raft::Index index) const override { return seen().term(index); }
  std::vector<raft::Entry> entries(raft::Index from, raft::Index to, size_t max_bytes) const override;

  // Reads that asked for what is not there; the first one's text, empty when there was none.
  const std::string& misread() const { return misread_; }

 private:
  struct Write {
    std::optional<raft::HardState> hard_state;
    std::vector<raft::Entry> entries;
    std::optional<raft::SnapshotMeta> begin_after;
  };

  const LogImage& seen() const { return visibility_ == Visibility::kAtWrite ? written_ : durable_; }
  void apply(const Write& write, LogImage& image) const;

  Visibility visibility_;
  Break broken_;
  LogImage written_;
  LogImage durable_;
  std::deque<Write> pending_;  // written, not yet synced
  uint64_t durable_to_ = 0;
  std::optional<raft::HardState> previous_durable_hard_state_;
  mutable std::string misread_;
};

}  // namespace kv::sim
