// The linearizability checker against the definition itself: all orders of a few calls, tried one by one.
#include "sim/history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/random.h"

namespace kv::sim {
namespace {

// By definition: is there an order of all completed calls, and of any of the unknown writes, that respects time and
// in which every read sees the last write?
bool linearizable_by_definition(const std::vector<RegisterCall>& calls) {
  const size_t unknown =
      std::count_if(calls.begin(), calls.end(), [](const RegisterCall& c) { return c.end == RegisterCall::kNever; });
  for (uint64_t kept = 0; kept < (1ULL << unknown); ++kept) {
    std::vector<RegisterCall> chosen;
    size_t number = 0;
    for (const RegisterCall& call : calls) {
      if (call.end != RegisterCall::kNever || ((kept >> number++) & 1) != 0) chosen.push_back(call);
    }
    std::vector<size_t> order(chosen.size());
    std::iota(order.begin(), order.end(), 0);
    do {
      uint64_t value = 0;
      bool good = true;
      for (size_t i = 0; i < order.size() && good; ++i) {
        const RegisterCall& call = chosen[order[i]];
        for (size_t j = i + 1; j < order.size() && good; ++j) good = chosen[order[j]].end > call.begin;
        if (call.is_write) {
          value = call.value;
        } else {
          good = good && call.value == value;
        }
      }
      if (good) return true;
    } while (std::next_permutation(order.begin(), order.end()));
  }
  return false;
}

std::vector<RegisterCall> random_calls(Random& random) {
  std::vector<RegisterCall> calls(1 + random.below(6));
  std::vector<uint64_t> times(2 * calls.size());
  std::iota(times.begin(), times.end(), 1);
  for (size_t i = times.size(); i > 1; --i) std::swap(times[i - 1], times[random.below(i)]);
  uint64_t writes = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    RegisterCall& call = calls[i];
    call.begin = std::min(times[2 * i], times[2 * i + 1]);
    call.end = std::max(times[2 * i], times[2 * i + 1]);
    call.is_write = random.one_in(2);
    if (!call.is_write) continue;
    call.value = ++writes;
    if (random.one_in(4)) call.end = RegisterCall::kNever;
  }
  for (RegisterCall& call : calls) {
    if (!call.is_write) call.value = random.below(writes + 1);
  }
  return calls;
}

TEST(Linearizability, Judges_as_the_definition_does) {
  Random random(7);
  int yes = 0;
  int no = 0;
  for (int i = 0; i < 30'000; ++i) {
    const std::vector<RegisterCall> calls = random_calls(random);
    const auto why = why_not_linearizable(calls);
    const bool expected = linearizable_by_definition(calls);
    ++(expected ? yes : no);
    std::string text;
    for (const RegisterCall& c : calls) {
      text += std::string(c.is_write ? " write " : " read ") + std::to_string(c.value) + " [" +
              std::to_string(c.begin) + ", " + (c.end == RegisterCall::kNever ? "?" : std::to_string(c.end)) + "]";
    }
    ASSERT_EQ(!why.has_value(), expected) << "case " << i << ":" << text << " -> " << why.value_or("linearizable");
  }
  EXPECT_GT(yes, 3'000);
  EXPECT_GT(no, 3'000);
}

TEST(Linearizability, Read_of_an_overwritten_value_is_stale) {
  const RegisterCall first{.is_write = true, .value = 1, .begin = 1, .end = 2};
  const RegisterCall second{.is_write = true, .value = 2, .begin = 3, .end = 4};
  EXPECT_FALSE(why_not_linearizable({first, second, {.value = 2, .begin = 5, .end = 6}}));
  EXPECT_TRUE(why_not_linearizable({first, second, {.value = 1, .begin = 5, .end = 6}}));
  // While the second write runs, both values are right; but not the old one after the new one.
  const RegisterCall slow{.is_write = true, .value = 2, .begin = 3, .end = 20};
  const RegisterCall reads_new{.value = 2, .begin = 5, .end = 6};
  EXPECT_FALSE(why_not_linearizable({first, slow, reads_new, {.value = 2, .begin = 7, .end = 8}}));
  EXPECT_TRUE(why_not_linearizable({first, slow, reads_new, {.value = 1, .begin = 7, .end = 8}}));
}

TEST(Linearizability, Unknown_write_may_take_effect_late_or_never) {
  const RegisterCall known{.is_write = true, .value = 1, .begin = 1, .end = 2};
  const RegisterCall unknown{.is_write = true, .value = 2, .begin = 3};
  EXPECT_FALSE(why_not_linearizable({known, unknown, {.value = 1, .begin = 50, .end = 51}}));
  EXPECT_FALSE(why_not_linearizable(
      {known, unknown, {.value = 1, .begin = 50, .end = 51}, {.value = 2, .begin = 60, .end = 61}}));
  EXPECT_TRUE(why_not_linearizable(
      {known, unknown, {.value = 2, .begin = 50, .end = 51}, {.value = 1, .begin = 60, .end = 61}}));
}

}  // namespace
}  // namespace kv::sim
