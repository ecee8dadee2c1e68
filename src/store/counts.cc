#include "store/counts.h"

#include <algorithm>

#include "base/check.h"

namespace kv::store {
namespace {

constexpr char kChunkFormat = 1;

}  // namespace

BlockCounts::BlockCounts(int64_t revision, Sizes sizes)
    : keys_per_block_(static_cast<int64_t>(sizes.keys_per_block)),
      blocks_per_chunk_(sizes.blocks_per_chunk),
      revision_(revision) {
  restore({Block{}});
}

void BlockCounts::restore(std::vector<Block> blocks) {
  const std::lock_guard lock(mutex_);
  KV_CHECK(!blocks.empty() && blocks.front().begin.empty(), "the first block takes all keys before the second");
  chunks_.clear();
  for (Block& b : blocks) {
    if (chunks_.empty() || chunks_.back()->blocks.size() >= blocks_per_chunk_ / 2) {
      chunks_.push_back(std::make_shared<Chunk>());
      chunks_.back()->epoch = epoch_;
    }
    chunks_.back()->keys += b.keys;
    chunks_.back()->blocks.push_back(std::move(b));
  }
}

BlockCounts::Position BlockCounts::locate(std::string_view key) const {
  const auto chunk = std::prev(std::upper_bound(
      chunks_.begin() + 1, chunks_.end(), key,
      [](std::string_view k, const std::shared_ptr<Chunk>& c) { return k < c->blocks.front().begin; }));
  const auto& blocks = (*chunk)->blocks;
  const auto block = std::prev(std::upper_bound(blocks.begin() + 1, blocks.end(), key,
                                                [](std::string_view k, const Block& b) { return k < b.begin; }));
  return {static_cast<size_t>(chunk - chunks_.begin()), static_cast<size_t>(block - blocks.begin())};
}

bool BlockCounts::next(Position* p) const {
  if (++p->block < chunks_[p->chunk]->blocks.size()) return true;
  p->block = 0;
  return ++p->chunk < chunks_.size();
}

BlockCounts::Chunk& BlockCounts::writable(size_t i) {
  std::shared_ptr<Chunk>& chunk = chunks_[i];
  if (chunk->epoch != epoch_) {
    chunk = std::make_shared<Chunk>(*chunk);
    chunk->epoch = epoch_;
  }
  return *chunk;
}

void BlockCounts::add(std::string_view key, int delta) {
  const Position p = locate(key);
  Chunk& chunk = writable(p.chunk);
  Block& b = chunk.blocks[p.block];
  b.keys += delta;
  chunk.keys += delta;
  KV_CHECK(b.keys >= 0, "a block has no fewer than no keys");
  if (delta > 0 && b.keys == 2 * keys_per_block_ + 1) oversized_.insert(b.begin);
  if (delta < 0 && b.keys == merge_below() - 1) undersized_.insert(b.begin);
}

BlockCounts::Inner BlockCounts::inner(const KeyRange& range) const {
  const std::lock_guard lock(mutex_);
  Inner inner;
  inner.revision = revision_;
  if (range.empty()) return inner;
  Position from = locate(range.begin);
  if (block(from).begin != range.begin && !(range.begin == std::string_view("\0", 1) && block(from).begin.empty())) {
    // The range begins within this block. (No key is empty, so "\0" begins before all of them.)
    if (!next(&from)) return inner;
  }
  Position to = {chunks_.size(), 0};
  if (!range.unbounded) to = locate(range.end);
  if (from.chunk > to.chunk || (from.chunk == to.chunk && from.block >= to.block)) return inner;
  inner.any = true;
  inner.begin = block(from).begin;
  inner.unbounded = range.unbounded;
  if (!range.unbounded) inner.end = block(to).begin;
  for (Position p = from; p != to;) {
    if (p.block == 0 && p.chunk < to.chunk) {
      inner.keys += chunks_[p.chunk]->keys;
      ++p.chunk;
    } else {
      inner.keys += block(p).keys;
      next(&p);
    }
  }
  return inner;
}

int64_t BlockCounts::total() const {
  const std::lock_guard lock(mutex_);
  int64_t n = 0;
  for (const auto& chunk : chunks_) n += chunk->keys;
  return n;
}

int64_t BlockCounts::revision() const {
  const std::lock_guard lock(mutex_);
  return revision_;
}

std::optional<BlockCounts::Range> BlockCounts::take_oversized() {
  const std::lock_guard lock(mutex_);
  while (!oversized_.empty()) {
    const std::string begin = *oversized_.begin();
    oversized_.erase(oversized_.begin());
    Position p = locate(begin);
    // It may have been joined or have shrunk meanwhile.
    if (block(p).begin != begin || block(p).keys <= 2 * keys_per_block_) continue;
    return Range{begin, next(&p) ? block(p).begin : ""};
  }
  return std::nullopt;
}

void BlockCounts::merge_undersized() {
  const std::lock_guard lock(mutex_);
  while (!undersized_.empty()) {
    const std::string begin = *undersized_.begin();
    undersized_.erase(undersized_.begin());
    const Position p = locate(begin);
    if (block(p).begin != begin || block(p).keys >= merge_below()) continue;
    // With the one before, or else with the one after.
    Position second = p;
    if (p == Position{0, 0} && !next(&second)) continue;
    Position first = second;
    if (first.block > 0) {
      --first.block;
    } else {
      --first.chunk;
      first.block = chunks_[first.chunk]->blocks.size() - 1;
    }
    const int64_t keys = block(second).keys;
    if (block(first).keys + keys > keys_per_block_) continue;
    Chunk& to = writable(first.chunk);
    to.blocks[first.block].keys += keys;
    to.keys += keys;
    Chunk& from = writable(second.chunk);
    from.keys -= keys;
    from.blocks.erase(from.blocks.begin() + static_cast<ptrdiff_t>(second.block));
    if (from.blocks.empty()) chunks_.erase(chunks_.begin() + static_cast<ptrdiff_t>(second.chunk));
    if (block(first).keys < merge_below()) undersized_.insert(block(first).begin);
  }
}

Status BlockCounts::split(const std::string& begin, std::vector<Block> pieces, int64_t revision,
                          const Difference& difference) {
  const std::lock_guard lock(mutex_);
  KV_RETURN_IF_ERROR(difference(revision, revision_, &pieces));
  const Position p = locate(begin);
  KV_CHECK(block(p).begin == begin && pieces.front().begin == begin, "blocks are split and joined by one thread");
  int64_t keys = 0;
  for (const Block& piece : pieces) {
    keys += piece.keys;
    if (piece.keys > 2 * keys_per_block_) oversized_.insert(piece.begin);
  }
  KV_CHECK(keys == block(p).keys,
           "a block of " + std::to_string(block(p).keys) + " keys was found to have " + std::to_string(keys));
  Chunk& chunk = writable(p.chunk);
  const auto at = chunk.blocks.erase(chunk.blocks.begin() + static_cast<ptrdiff_t>(p.block));
  chunk.blocks.insert(at, std::make_move_iterator(pieces.begin()), std::make_move_iterator(pieces.end()));
  divide_chunk(p.chunk);
  return {};
}

void BlockCounts::divide_chunk(size_t i) {
  if (chunks_[i]->blocks.size() <= blocks_per_chunk_) return;
  const std::shared_ptr<Chunk> whole = chunks_[i];
  MutableChunks parts;
  for (Block& b : whole->blocks) {
    if (parts.empty() || parts.back()->blocks.size() >= blocks_per_chunk_ / 2) {
      parts.push_back(std::make_shared<Chunk>());
      parts.back()->epoch = epoch_;
    }
    parts.back()->keys += b.keys;
    parts.back()->blocks.push_back(std::move(b));
  }
  const auto at = chunks_.erase(chunks_.begin() + static_cast<ptrdiff_t>(i));
  chunks_.insert(at, parts.begin(), parts.end());
}

BlockCounts::Chunks BlockCounts::checkpoint(int64_t* revision) {
  const std::lock_guard lock(mutex_);
  *revision = revision_;
  ++epoch_;
  return Chunks(chunks_.begin(), chunks_.end());
}

std::string encode_chunk(const BlockCounts::Chunk& chunk) {
  std::string out(1, kChunkFormat);
  put_varint(&out, chunk.blocks.size());
  for (const auto& b : chunk.blocks) {
    put_varint(&out, b.begin.size());
    out += b.begin;
    put_varint(&out, static_cast<uint64_t>(b.keys));
  }
  return out;
}

bool decode_chunk(std::string_view bytes, std::vector<BlockCounts::Block>* blocks) {
  if (bytes.empty() || bytes[0] != kChunkFormat) return false;
  bytes.remove_prefix(1);
  uint64_t n;
  if (!get_varint(&bytes, &n)) return false;
  for (; n > 0; --n) {
    uint64_t size, keys;
    if (!get_varint(&bytes, &size) || size > bytes.size()) return false;
    BlockCounts::Block b;
    b.begin = bytes.substr(0, size);
    bytes.remove_prefix(size);
    if (!get_varint(&bytes, &keys)) return false;
    b.keys = static_cast<int64_t>(keys);
    blocks->push_back(std::move(b));
  }
  return bytes.empty();
}

}  // namespace kv::store
