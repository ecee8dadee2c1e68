// How many keys there are, without walking them: a count per block of some 256 neighbouring keys, in memory. A range
// is the sum of its whole blocks and a short scan at each end.
//
// The counts belong to one revision, the newest; a reader at another one makes up the difference from the history
// between. The blocks' bounds are found in the background, never by the thread that applies.
//
// A checkpoint in meta and the history since give the counts back after a restart.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/encoding.h"
#include "store/key_range.h"

namespace kv::store {

// What a change does to the number of keys.
inline int count_delta(const Record& record) { return record.tombstone ? -1 : record.version == 1 ? 1 : 0; }

class BlockCounts {
 public:
  // Blocks are split above twice `keys_per_block`, into blocks of that many, and joined below a quarter of it.
  struct Sizes {
    size_t keys_per_block = 256;
    size_t blocks_per_chunk = 256;
  };

  struct Block {
    std::string begin;  // the first key that belongs here; empty for the very first block
    int64_t keys = 0;
  };
  // Blocks in order. Chunks are immutable once a checkpoint has them: who changes one later changes a copy.
  struct Chunk {
    std::vector<Block> blocks;
    int64_t keys = 0;
    uint64_t epoch = 0;
  };
  using Chunks = std::vector<std::shared_ptr<const Chunk>>;

  BlockCounts(int64_t revision, Sizes sizes);

  // ---- asking: any thread ----
  // The whole blocks within a range, which is not single.
  struct Inner {
    int64_t revision = 0;  // of the counts
    bool any = false;      // false: no whole block lies within, everything else here is without meaning
    int64_t keys = 0;
    std::string begin, end;  // the keys that the blocks cover
    bool unbounded = false;  // ... to the last one
    bool contains(std::string_view key) const { return key >= begin && (unbounded || key < end); }
  };
  Inner inner(const KeyRange& range) const;
  int64_t total() const;

  // ---- changing: the thread that applies, before it publishes `revision` ----
  // Holds the lock; short.
  class Update {
   public:
    explicit Update(BlockCounts& counts) : counts_(counts), lock_(counts.mutex_) {}
    void add(std::string_view key, int delta) { counts_.add(key, delta); }
    // True when the background has something to do here.
    bool finish(int64_t revision) {
      counts_.revision_ = revision;
      return !counts_.oversized_.empty() || !counts_.undersized_.empty();
    }

   private:
    BlockCounts& counts_;
    const std::lock_guard<std::mutex> lock_;
  };

  // ---- housekeeping: one thread in the background ----
  struct Range {
    std::string begin, end;  // end empty: to the last key
    bool contains(std::string_view key) const { return key >= begin && (end.empty() || key < end); }
  };
  // A block to be split, if there is one.
  std::optional<Range> take_oversized();
  // Joins small neighbours.
  void merge_undersized();
  int64_t keys_per_block() const { return keys_per_block_; }
  int64_t merge_below() const { return keys_per_block_ / 4; }
  int64_t revision() const;
  // Replaces the block that begins at `begin` by `pieces`, the first of which begins there too. Their keys are counted
  // as of `revision`; `difference` is called with the lock held, to add what has changed from `revision` to that of the
  // counts. It may fail, and then nothing is done.
  using Difference = std::function<Status(int64_t from, int64_t to, std::vector<Block>* pieces)>;
  Status split(const std::string& begin, std::vector<Block> pieces, int64_t revision, const Difference& difference);

  // All of it as of one revision.
  Chunks checkpoint(int64_t* revision);
  // At open: puts back what checkpoint() gave.
  void restore(std::vector<Block> blocks);

 private:
  using MutableChunks = std::vector<std::shared_ptr<Chunk>>;
  struct Position {
    size_t chunk, block;
    bool operator==(const Position&) const = default;
  };

  // All with mutex_ held.
  void add(std::string_view key, int delta);
  Position locate(std::string_view key) const;
  const Block& block(Position p) const { return chunks_[p.chunk]->blocks[p.block]; }
  bool next(Position* p) const;
  Chunk& writable(size_t chunk);
  void divide_chunk(size_t chunk);

  const int64_t keys_per_block_;
  const size_t blocks_per_chunk_;

  mutable std::mutex mutex_;  // guards all below
  MutableChunks chunks_;      // never empty, no chunk is
  int64_t revision_;
  uint64_t epoch_ = 1;
  absl::flat_hash_set<std::string> oversized_, undersized_;  // first keys of blocks
};

// A chunk in meta.
std::string encode_chunk(const BlockCounts::Chunk& chunk);
[[nodiscard]] bool decode_chunk(std::string_view bytes, std::vector<BlockCounts::Block>* blocks);

}  // namespace kv::store
