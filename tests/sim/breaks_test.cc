// The proof that the checkers see bugs: each deliberate mistake of the driver (breaks.h) must be noticed within a
// bounded number of seeds. Once with the checks of promises (a message left too early), and once without them, so
// that the properties that users care about are known to notice by themselves.
#include <gtest/gtest.h>

#include <string>

#include "sim/runner.h"

namespace kv::sim {
namespace {

constexpr uint64_t kSeeds = 150;

class Breaks : public testing::TestWithParam<Break> {
 protected:
  // The seed that notices, 0 when none does.
  static uint64_t noticed_by(Break broken, bool check_promises, std::string* how) {
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      SimOptions options;
      options.seed = seed;
      options.broken = broken;
      options.check_promises = check_promises;
      const Finding finding = run_in_child(options, false);
      if (!finding.failed) continue;
      *how = finding.invariant;
      // An assertion in the core is a good thing, but this is about the checkers.
      if (finding.invariant != "assertion") return seed;
    }
    return 0;
  }
};

TEST_P(Breaks, Are_noticed) {
  for (const bool check_promises : {true, false}) {
    std::string how;
    const uint64_t seed = noticed_by(GetParam(), check_promises, &how);
    EXPECT_NE(seed, 0u) << name(GetParam()) << (check_promises ? "" : " (without checks of promises)")
                        << " was not noticed in " << kSeeds << " seeds";
    std::printf("%.*s%s: seed %llu, %s\n", static_cast<int>(name(GetParam()).size()), name(GetParam()).data(),
                check_promises ? "" : " (without checks of promises)", static_cast<unsigned long long>(seed),
                how.c_str());
  }
}

std::vector<Break> all_breaks() {
  std::vector<Break> out;
  for (size_t i = 1; i < static_cast<size_t>(kFirstStoreBreak); ++i) out.push_back(static_cast<Break>(i));
  return out;
}

INSTANTIATE_TEST_SUITE_P(Driver, Breaks, testing::ValuesIn(all_breaks()), [](const auto& test) {
  std::string out(name(test.param));
  for (char& c : out) c = c == '-' ? '_' : c;
  return out;
});

TEST(Breaks, Have_names) {
  for (const Break broken : all_breaks()) EXPECT_EQ(break_by_name(name(broken)), broken);
  EXPECT_EQ(break_by_name("no-such-mistake"), std::nullopt);
}

}  // namespace
}  // namespace kv::sim
