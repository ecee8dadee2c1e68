// Sets of keys against a model that asks every key of a small world.
#include "store/key_set.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "store/key_range.h"

namespace kv::store {
namespace {

const std::string kZero("\0", 1);

struct Named {
  std::string key, range_end;
};

// Every string of up to three letters out of "\0", "a", "b": all that can lie between bounds of up to two.
std::vector<std::string> world() {
  std::vector<std::string> keys;
  std::vector<std::string> longest = {""};
  for (int length = 1; length <= 3; ++length) {
    std::vector<std::string> next;
    for (const std::string& s : longest)
      for (const char c : {'\0', 'a', 'b'}) next.push_back(s + c);
    keys.insert(keys.end(), next.begin(), next.end());
    longest = next;
  }
  return keys;
}

// Every way to name keys with bounds of up to two letters.
std::vector<Named> all_ranges() {
  std::vector<std::string> bounds;
  for (const std::string& key : world())
    if (key.size() <= 2) bounds.push_back(key);
  std::vector<Named> out;
  for (const std::string& key : bounds) {
    out.push_back({key, ""});
    for (const std::string& end : bounds) out.push_back({key, end});
  }
  return out;
}

// The set as a list of what was added, asked key by key. A range without an end holds more than the world, so it is
// covered only where one without an end was added that begins no later than all that is missing.
class Model {
 public:
  void add(const Named& n) {
    const KeyRange range = KeyRange::of(n.key, n.range_end);
    for (const std::string& key : world_)
      if (range.contains(key)) keys_.insert(key);
    if (range.unbounded) endless_ = true;
  }
  bool covers(const Named& n) const {
    const KeyRange range = KeyRange::of(n.key, n.range_end);
    if (range.empty()) return keys_.contains(n.key);
    if (range.unbounded && !endless_) return false;
    for (const std::string& key : world_)
      if (range.contains(key) && !keys_.contains(key)) return false;
    return true;
  }

 private:
  const std::vector<std::string> world_ = world();
  std::set<std::string> keys_;
  bool endless_ = false;
};

std::string show(const Named& n) {
  std::string out = "[";
  for (const char c : n.key) out += c == '\0' ? '0' : c;
  out += ",";
  for (const char c : n.range_end) out += c == '\0' ? '0' : c;
  return out + ")";
}

void compare(const std::vector<Named>& added, const std::vector<Named>& asked) {
  KeySet set;
  Model model;
  std::string what;
  for (const Named& n : added) {
    set.add(n.key, n.range_end);
    model.add(n);
    what += show(n);
  }
  for (const Named& n : asked) {
    ASSERT_EQ(set.covers(n.key, n.range_end), model.covers(n)) << "added " << what << ", asked " << show(n);
  }
}

TEST(KeySet, One_range_of_any_kind_covers_what_the_model_says) {
  const auto ranges = all_ranges();
  for (const Named& n : ranges) compare({n}, ranges);
}

TEST(KeySet, Many_ranges_cover_what_the_model_says) {
  const auto ranges = all_ranges();
  const uint32_t seed = std::random_device()();
  std::mt19937 random(seed);
  for (int round = 0; round < 400; ++round) {
    std::vector<Named> added;
    for (size_t i = 0; i <= round % 7u; ++i) added.push_back(ranges[random() % ranges.size()]);
    SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
    compare(added, ranges);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(KeySet, A_key_alone_does_not_cover_what_comes_after_it) {
  KeySet set;
  set.add("a", "");
  EXPECT_TRUE(set.covers("a", ""));
  EXPECT_FALSE(set.covers("a", kZero));
  EXPECT_FALSE(set.covers("a", "b"));
  EXPECT_TRUE(set.covers("a", std::string("a\0", 2)));
}

TEST(KeySet, An_empty_set_covers_nothing) {
  const KeySet set;
  EXPECT_TRUE(set.empty());
  EXPECT_FALSE(set.covers("a", ""));
  EXPECT_FALSE(set.covers("b", "a"));
  EXPECT_FALSE(set.covers(kZero, kZero));
}

}  // namespace
}  // namespace kv::store
