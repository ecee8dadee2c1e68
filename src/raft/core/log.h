// The log as the core works with it: a tail in memory over the LogReader. The tail holds at least what is not on
// disk or not committed yet, and beyond that a cache of recent entries for followers that are a little behind; only
// for older ones is the LogReader asked. So the core never waits for its own writes, and what it appends and
// truncates takes effect at once, while the disk follows through take_unwritten() and written().
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "raft/core/core.h"
#include "raft/types.h"

namespace kv::raft {

class Log {
 public:
  // Begins with what `reader` holds, all of it on disk. `reader` must outlive the log.
  Log(const LogReader& reader, size_t max_cached_bytes);

  // The first entry that entries() can give; one more than the last where there is none.
  Index first() const;
  Index last() const { return tail_begin_ + tail_.size() - 1; }
  Term last_term() const { return tail_.empty() ? before_tail_ : tail_.back().term; }
  // The term at first() - 1 .. last(); nullopt outside.
  std::optional<Term> term(Index index) const;
  bool matches(Index index, Term term) const { return this->term(index) == term; }

  // Of an entry that is not committed or not on disk (it is in memory then).
  size_t bytes(Index index) const { return at(index).bytes(); }

  // The largest index at or below `index` (which must not be above last()) whose term is at most `term`. Terms never
  // descend along the log, so this is a binary search. The caller gets an index below first() - 1 when even the
  // terms there are too large.
  Index last_at_most(Index index, Term term) const;

  // Entries [from, to), cut before the total exceeds max_bytes but never empty where from < to; nullopt when some
  // of them are gone (compacted).
  std::optional<std::vector<Entry>> entries(Index from, Index to, size_t max_bytes) const;

  // `entry` gets the index after last(); its term must not descend.
  void append(Entry entry);
  // Drops `from` and all after it. `from` > commit, or the state machine would lose what it has.
  void truncate(Index from);
  // The log now is empty and begins after a snapshot.
  void reset(Index index, Term term);

  // ---- the disk ----
  // On disk up to here. Falls when entries that were on disk are truncated.
  Index written() const { return written_; }
  bool has_unwritten() const { return next_to_write_ <= last(); }
  // Entries that were not handed out yet, as part of the write called `number` (ascending).
  std::vector<Entry> take_unwritten(uint64_t number);
  // The write `number` and all before it are on disk.
  void wrote(uint64_t number);

  // Frees memory: entries that are on disk and at most `commit`, oldest first, down to the cache's limit.
  void trim(Index commit);
  size_t cached_bytes() const { return tail_bytes_; }

 private:
  struct Write {
    uint64_t number;
    Index last;  // lowered by truncation, so that an answer for entries that are gone covers nothing else
  };

  const Entry& at(Index index) const { return tail_[index - tail_begin_]; }

  const LogReader& reader_;
  const size_t max_cached_bytes_;
  Index floor_;  // the reader is asked for nothing below: after reset() it may show entries that are not ours
  std::deque<Entry> tail_;
  Index tail_begin_;  // index of tail_.front()
  Term before_tail_;  // term of the entry before it
  size_t tail_bytes_ = 0;
  Index written_;
  Index next_to_write_;
  std::deque<Write> writes_;
};

}  // namespace kv::raft
