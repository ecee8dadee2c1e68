#include "store/interval_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"

namespace kv::store {
namespace {

const std::string kZero{"\0", 1};

std::vector<int> found(const IntervalTree<int>& tree, std::string_view key) {
  std::vector<int> out;
  tree.visit(key, [&](int& value) { out.push_back(value); });
  return out;
}

TEST(IntervalTree, Finds_the_ranges_that_hold_a_key_in_their_order) {
  IntervalTree<int> tree;
  tree.at(KeyRange::of("b", "d")) = 2;
  tree.at(KeyRange::of("a", "z")) = 1;
  tree.at(KeyRange::of("c", kZero)) = 4;
  tree.at(KeyRange::of("c", "d")) = 3;
  EXPECT_EQ(found(tree, "c"), (std::vector{1, 2, 3, 4}));
  EXPECT_EQ(found(tree, "a"), (std::vector{1}));
  EXPECT_EQ(found(tree, "d"), (std::vector{1, 4}));
  EXPECT_EQ(found(tree, "zz"), (std::vector{4}));
  EXPECT_EQ(found(tree, ""), (std::vector<int>{}));
  EXPECT_EQ(tree.size(), 4U);
  tree.erase(KeyRange::of("c", kZero));
  tree.erase(KeyRange::of("nothing", "of the kind"));
  EXPECT_EQ(found(tree, "zz"), (std::vector<int>{}));
  EXPECT_EQ(tree.size(), 3U);
}

TEST(IntervalTree, The_same_range_has_one_value) {
  IntervalTree<int> tree;
  tree.at(KeyRange::of("a", "b")) = 1;
  tree.at(KeyRange::of("a", "b")) += 5;
  EXPECT_EQ(found(tree, "a"), (std::vector{6}));
  EXPECT_EQ(*tree.get(KeyRange::of("a", "b")), 6);
  EXPECT_EQ(tree.get(KeyRange::of("a", kZero)), nullptr);
}

// Against a list that is looked through from end to end. Short keys over a small alphabet, so that ranges nest, touch
// and repeat; a range may also be empty, and then holds nothing.
TEST(IntervalTree, Agrees_with_a_search_through_all_ranges) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const auto key = [&] {
      std::string k;
      for (uint64_t n = random.below(4); n > 0; --n) k += static_cast<char>("\0ab\xff"[random.below(4)]);
      return k;
    };
    IntervalTree<int> tree;
    std::map<std::pair<std::string, std::pair<bool, std::string>>, int> all;  // unbounded sorts last
    for (int step = 0; step < 400; ++step) {
      const std::string begin = key();
      std::string end = random.one_in(5) ? kZero : key();
      if (end.empty()) end = kZero;
      const bool unbounded = end == kZero;
      const std::pair place{begin, std::pair{unbounded, unbounded ? std::string() : end}};
      if (random.below(10) < (step < 200 ? 7 : 3)) {
        tree.at(KeyRange::of(begin, end)) = step;
        all[place] = step;
      } else if (random.one_in(2) && !all.empty()) {
        auto it = all.begin();
        std::advance(it, static_cast<ptrdiff_t>(random.below(all.size())));
        const auto& [b, e] = it->first;
        tree.erase(KeyRange::of(b, e.first ? kZero : e.second));
        all.erase(it);
      } else {
        tree.erase(KeyRange::of(begin, end));
        all.erase(place);
      }
      ASSERT_EQ(tree.size(), all.size());
      const std::string asked = key();
      std::vector<int> expected;
      for (const auto& [range, value] : all) {
        if (range.first <= asked && (range.second.first || asked < range.second.second)) expected.push_back(value);
      }
      ASSERT_EQ(found(tree, asked), expected) << "step " << step;
    }
  }
}

TEST(IntervalTree, A_key_among_many_ranges_is_found_without_a_walk) {
  IntervalTree<int> tree;
  constexpr int kRanges = 20000;
  const auto name = [](int i) { return std::to_string(100000 + i); };
  for (int i = 0; i < kRanges; ++i) tree.at(KeyRange::of(name(i), name(i + 1))) = i;
  for (int i = 0; i < kRanges; ++i) ASSERT_EQ(found(tree, name(i) + "x"), (std::vector{i}));
}

}  // namespace
}  // namespace kv::store
