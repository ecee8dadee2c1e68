#include "store/counts.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"

namespace kv::store {
namespace {

// A set of keys, counted by blocks as the housekeeper keeps them.
class CountsTest : public testing::Test {
 protected:
  void add(const std::string& key) {
    if (keys_.insert(key).second) change(key, 1);
  }
  void remove(const std::string& key) {
    if (keys_.erase(key) > 0) change(key, -1);
  }
  void change(const std::string& key, int delta) {
    BlockCounts::Update update(counts_);
    update.add(key, delta);
    update.finish(++revision_);
  }
  void keep_house() {
    counts_.merge_undersized();
    while (const auto range = counts_.take_oversized()) {
      std::vector<BlockCounts::Block> pieces = {{range->begin, 0}};
      for (const std::string& key : keys_) {
        if (!range->contains(key)) continue;
        if (pieces.back().keys >= counts_.keys_per_block()) pieces.push_back({key, 0});
        ++pieces.back().keys;
      }
      ASSERT_TRUE(
          counts_.split(range->begin, pieces, revision_, [](int64_t, int64_t, auto*) { return Status(); }).ok());
    }
  }
  int64_t truth(const KeyRange& range) const {
    int64_t n = 0;
    for (const std::string& key : keys_) n += range.contains(key);
    return n;
  }
  // The whole blocks must be a part of the range, and count what is in them.
  void check(const KeyRange& range) {
    const BlockCounts::Inner inner = counts_.inner(range);
    ASSERT_EQ(inner.revision, revision_);
    if (!inner.any) return;
    ++answered_;
    int64_t n = 0;
    for (const std::string& key : keys_) {
      if (!inner.contains(key)) continue;
      ASSERT_TRUE(range.contains(key)) << key;
      ++n;
    }
    ASSERT_EQ(inner.keys, n);
    // What is left over at the ends is less than two blocks.
    ASSERT_LE(truth(range) - n, 4 * counts_.keys_per_block());
  }

  static std::string random_key(Random& random) { return std::to_string(random.below(3000)); }

  BlockCounts counts_{1, {4, 4}};
  std::set<std::string> keys_;
  int64_t revision_ = 1;
  int answered_ = 0;
};

TEST_F(CountsTest, Whole_blocks_within_a_range_are_counted_right_while_keys_come_and_go) {
  Random random(1);
  const std::string zero("\0", 1);
  for (int phase = 0; phase < 6; ++phase) {
    for (int i = 0; i < 1500; ++i) {
      // Growing and shrinking in turn, so that blocks and chunks are split and joined.
      if (random.below(10) < (phase % 2 == 0 ? 8u : 1u)) {
        add(random_key(random));
      } else {
        const auto key = keys_.lower_bound(random_key(random));
        if (key != keys_.end()) remove(std::string(*key));
      }
      if (i % 3 == 0) keep_house();
      if (i % 10 == 0) {
        std::string a = random_key(random), b = random_key(random);
        check(KeyRange::of(a, b));
        check(KeyRange::of(a, zero));
        check(KeyRange::of(zero, b));
        check(KeyRange::of(zero, zero));
        check(KeyRange::of(a, a + zero));
        if (HasFatalFailure()) return;
      }
    }
    ASSERT_EQ(counts_.total(), static_cast<int64_t>(keys_.size()));
    const auto everything = counts_.inner(KeyRange::of(zero, zero));
    ASSERT_TRUE(everything.any);
    ASSERT_EQ(everything.keys, counts_.total());
  }
  EXPECT_GT(answered_, 1000);
}

TEST_F(CountsTest, Checkpoint_is_not_touched_by_what_comes_after) {
  for (int i = 0; i < 200; ++i) add(std::to_string(i));
  keep_house();
  int64_t revision;
  const BlockCounts::Chunks chunks = counts_.checkpoint(&revision);
  EXPECT_EQ(revision, revision_);
  std::vector<BlockCounts::Block> before;
  for (const auto& chunk : chunks) ASSERT_TRUE(decode_chunk(encode_chunk(*chunk), &before));
  for (int i = 200; i < 400; ++i) add(std::to_string(i));
  for (int i = 0; i < 100; ++i) remove(std::to_string(i));
  keep_house();
  std::vector<BlockCounts::Block> after;
  for (const auto& chunk : chunks) ASSERT_TRUE(decode_chunk(encode_chunk(*chunk), &after));
  ASSERT_EQ(before.size(), after.size());
  int64_t keys = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].begin, after[i].begin);
    EXPECT_EQ(before[i].keys, after[i].keys);
    keys += before[i].keys;
  }
  EXPECT_EQ(keys, 200);

  BlockCounts restored(revision, {4, 4});
  restored.restore(after);
  EXPECT_EQ(restored.total(), 200);
}

TEST_F(CountsTest, Blocks_stay_few) {
  for (int i = 0; i < 3000; ++i) {
    add(std::to_string(i));
    keep_house();
  }
  int64_t revision;
  const auto blocks = [&] {
    size_t n = 0;
    for (const auto& chunk : counts_.checkpoint(&revision)) n += chunk->blocks.size();
    return n;
  };
  EXPECT_LE(blocks(), 3000u / 2);
  EXPECT_GE(blocks(), 3000u / 8);
  for (int i = 0; i < 3000; ++i) {
    remove(std::to_string(i));
    keep_house();
  }
  EXPECT_LE(blocks(), 3000u / 8);
}

TEST(CountsEncoding, Damaged_chunk_is_refused) {
  BlockCounts::Chunk chunk;
  chunk.blocks = {{"", 3}, {"key", 500}};
  const std::string bytes = encode_chunk(chunk);
  std::vector<BlockCounts::Block> out;
  EXPECT_TRUE(decode_chunk(bytes, &out));
  EXPECT_FALSE(decode_chunk(bytes.substr(0, bytes.size() - 1), &out));
  EXPECT_FALSE(decode_chunk(bytes + "x", &out));
  EXPECT_FALSE(decode_chunk("", &out));
}

}  // namespace
}  // namespace kv::store
