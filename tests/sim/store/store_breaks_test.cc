// The proof that the checkers of the store's machine see bugs, as breaks_test.cc is for the log.
#include <gtest/gtest.h>

#include <string>

#include "sim/runner.h"
#include "sim/store/store_machine.h"

namespace kv::sim {
namespace {

constexpr uint64_t kSeeds = 200;

class StoreBreaks : public testing::TestWithParam<Break> {};

TEST_P(StoreBreaks, Are_noticed) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SimOptions options;
    options.seed = seed;
    options.machine = &kStoreMachine;
    options.broken = GetParam();
    const Finding finding = run_in_child(options, false);
    // An assertion is a good thing, but this is about the checkers.
    if (!finding.failed || finding.invariant == "assertion") continue;
    std::printf("%.*s: seed %llu, %s\n", static_cast<int>(name(GetParam()).size()), name(GetParam()).data(),
                static_cast<unsigned long long>(seed), finding.invariant.c_str());
    return;
  }
  FAIL() << name(GetParam()) << " was not noticed in " << kSeeds << " seeds";
}

std::vector<Break> all_breaks() {
  std::vector<Break> out;
  for (size_t i = static_cast<size_t>(kFirstStoreBreak); i < static_cast<size_t>(Break::kCount); ++i) {
    out.push_back(static_cast<Break>(i));
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Store, StoreBreaks, testing::ValuesIn(all_breaks()), [](const auto& test) {
  std::string out(name(test.param));
  for (char& c : out) c = c == '-' ? '_' : c;
  return out;
});

}  // namespace
}  // namespace kv::sim
