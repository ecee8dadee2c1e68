// Strong numbers, the seeded generator, clocks and checksums.
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <type_traits>
#include <unordered_set>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/strong.h"

namespace kv {
namespace {

using Apples = Strong<struct ApplesTag>;
using Pears = Strong<struct PearsTag>;
using Signed = Strong<struct SignedTag, int64_t>;

static_assert(!std::is_convertible_v<uint64_t, Apples>, "a plain number is not of a kind by itself");
static_assert(!std::is_convertible_v<Apples, uint64_t>);
static_assert(!std::is_constructible_v<Apples, Pears>, "kinds can't be mixed up");
static_assert(!std::is_convertible_v<Apples, bool>, "only where a condition is asked for");
static_assert(sizeof(Apples) == sizeof(uint64_t) && std::is_trivially_copyable_v<Apples>);

TEST(Strong, Counts_and_compares_like_its_number) {
  Apples a(5);
  EXPECT_EQ(a.value(), 5U);
  EXPECT_EQ(a + 2, Apples(7));
  EXPECT_EQ(a - 2, Apples(3));
  EXPECT_EQ(Apples(9) - a, 4U);
  EXPECT_EQ(++a, Apples(6));
  EXPECT_EQ(--a, Apples(5));
  EXPECT_LT(a, Apples(6));
  EXPECT_FALSE(Apples());
  EXPECT_TRUE(a);
  EXPECT_LT(Signed(-1), Signed(0));
  std::ostringstream out;
  out << a;
  EXPECT_EQ(out.str(), "5");
  EXPECT_EQ(to_string(a), "5");
}

TEST(Strong, Can_be_a_key_of_a_hash_table) {
  const std::unordered_set<Apples> set = {Apples(1), Apples(2), Apples(1)};
  EXPECT_EQ(set.size(), 2U);
}

// Simulations are replayed by seed: these numbers may never change. They are SplitMix64's for seed 1234567, as its
// authors' reference gives them.
TEST(Random, Gives_the_reference_numbers) {
  Random random(1234567);
  for (const uint64_t expected : {6457827717110365317ULL, 3203168211198807973ULL, 9817491932198370423ULL,
                                  4593380528125082431ULL, 16408922859458223821ULL}) {
    EXPECT_EQ(random.next(), expected);
  }
}

TEST(Random, Below_stays_below_and_reaches_everything) {
  Random random(1);
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random.below(7));
  EXPECT_EQ(seen.size(), 7U);
  EXPECT_EQ(*seen.rbegin(), 6U);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(random.below(1), 0U);
}

TEST(Random, Below_is_even_within_three_percent) {
  Random random(2);
  constexpr int kDraws = 100000;
  int counts[10] = {};
  for (int i = 0; i < kDraws; ++i) ++counts[random.below(10)];
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 10, kDraws / 10 * 0.03 + 100);
}

TEST(Random, One_in_n_happens_about_once_in_n) {
  Random random(3);
  int hits = 0;
  for (int i = 0; i < 100000; ++i) hits += random.one_in(100) ? 1 : 0;
  EXPECT_NEAR(hits, 1000, 150);
  EXPECT_TRUE(random.one_in(1));
}

TEST(Clock, The_systems_clocks_run_in_milliseconds) {
  const Clock& clock = Clock::system();
  const int64_t first = clock.monotonic_ms();
  const int64_t wall = clock.wall_ms();
  EXPECT_GT(wall, 1600000000000);  // milliseconds since 1970, after 2020
  int64_t last = first;
  while (last < first + 3) {
    const int64_t now = clock.monotonic_ms();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_LT(clock.wall_ms() - wall, 60000);
}

// The numbers are on disk: XXH3's own for these inputs.
TEST(Checksum, Is_XXH3_and_depends_on_every_bit_and_the_seed) {
  EXPECT_EQ(checksum(""), 0x2d06800538d394c2ULL);
  const std::string bytes(100, 'x');
  const uint64_t whole = checksum(bytes, 7);
  EXPECT_NE(whole, checksum(bytes, 8));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_NE(checksum(damaged, 7), whole) << bit;
  }
}

}  // namespace
}  // namespace kv
