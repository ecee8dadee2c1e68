// The arithmetic of majorities against brute force: every configuration of up to five members (seven for a single
// majority), every state that its voters can be in.
#include "raft/core/quorum.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace kv::raft {
namespace {

// All assignments of 0 .. base-1 to `size` places.
template <typename Visit>
void for_all_assignments(size_t size, size_t base, Visit visit) {
  std::vector<size_t> digits(size, 0);
  while (true) {
    visit(digits);
    size_t place = 0;
    while (place < size && ++digits[place] == base) digits[place++] = 0;
    if (place == size) return;
  }
}

std::vector<NodeId> nodes_of(unsigned mask) {
  std::vector<NodeId> nodes;
  for (unsigned i = 0; i < 8; ++i) {
    if (mask & (1U << i)) nodes.push_back(NodeId(i + 1));
  }
  return nodes;
}

// By definition: the largest index that more than half have reached.
Index brute_force_index(const std::vector<NodeId>& voters, const std::vector<size_t>& reached) {
  for (size_t index = 16; index > 0; --index) {
    size_t have = 0;
    for (const NodeId id : voters) have += reached[id.value() - 1] >= index;
    if (2 * have > voters.size()) return Index(index);
  }
  return Index(0);
}

// By definition: won when more than half have said yes, lost when that can't happen any more.
VoteResult brute_force_vote(const std::vector<NodeId>& voters, const std::vector<size_t>& answers) {
  size_t yes = 0;
  size_t open = 0;
  for (const NodeId id : voters) {
    yes += answers[id.value() - 1] == 2;
    open += answers[id.value() - 1] == 0;
  }
  if (2 * yes > voters.size()) return VoteResult::kWon;
  return 2 * (yes + open) > voters.size() ? VoteResult::kPending : VoteResult::kLost;
}

std::optional<bool> answer_of(size_t code) {
  if (code == 0) return std::nullopt;
  return code == 2;
}

TEST(Quorum, Majority_is_the_smallest_that_any_other_majority_meets) {
  for (size_t n = 1; n <= 64; ++n) {
    EXPECT_GT(2 * majority(n), n);
    EXPECT_LE(2 * (majority(n) - 1), n);
  }
}

TEST(Quorum, Index_of_one_majority_is_that_of_brute_force_up_to_seven_voters) {
  for (size_t n = 1; n <= 7; ++n) {
    Configuration configuration;
    configuration.voters = nodes_of((1U << n) - 1);
    for_all_assignments(n, 4, [&](const std::vector<size_t>& reached) {
      const Index index = quorum_index(configuration, [&](NodeId id) { return Index(reached[id.value() - 1]); });
      ASSERT_EQ(index, brute_force_index(configuration.voters, reached)) << n;
    });
  }
}

TEST(Quorum, Vote_of_one_majority_is_that_of_brute_force_up_to_seven_voters) {
  for (size_t n = 1; n <= 7; ++n) {
    Configuration configuration;
    configuration.voters = nodes_of((1U << n) - 1);
    for_all_assignments(n, 3, [&](const std::vector<size_t>& answers) {
      const VoteResult result =
          quorum_vote(configuration, [&](NodeId id) { return answer_of(answers[id.value() - 1]); });
      ASSERT_EQ(result, brute_force_vote(configuration.voters, answers)) << n;
    });
  }
}

TEST(Quorum, Joint_index_is_the_smaller_of_both_for_every_pair_of_five) {
  for (unsigned incoming = 1; incoming < 32; ++incoming) {
    for (unsigned outgoing = 1; outgoing < 32; ++outgoing) {
      const Configuration configuration{
          .voters = nodes_of(incoming), .outgoing = nodes_of(outgoing), .learners = {}, .learners_next = {}};
      for_all_assignments(5, 3, [&](const std::vector<size_t>& reached) {
        const Index index = quorum_index(configuration, [&](NodeId id) { return Index(reached[id.value() - 1]); });
        ASSERT_EQ(index, std::min(brute_force_index(configuration.voters, reached),
                                  brute_force_index(configuration.outgoing, reached)))
            << incoming << " " << outgoing;
      });
    }
  }
}

TEST(Quorum, Joint_vote_needs_both_for_every_pair_of_five) {
  for (unsigned incoming = 1; incoming < 32; ++incoming) {
    for (unsigned outgoing = 1; outgoing < 32; ++outgoing) {
      const Configuration configuration{
          .voters = nodes_of(incoming), .outgoing = nodes_of(outgoing), .learners = {}, .learners_next = {}};
      for_all_assignments(5, 3, [&](const std::vector<size_t>& answers) {
        const VoteResult a = brute_force_vote(configuration.voters, answers);
        const VoteResult b = brute_force_vote(configuration.outgoing, answers);
        VoteResult expected = VoteResult::kPending;
        if (a == VoteResult::kWon && b == VoteResult::kWon) expected = VoteResult::kWon;
        if (a == VoteResult::kLost || b == VoteResult::kLost) expected = VoteResult::kLost;
        ASSERT_EQ(quorum_vote(configuration, [&](NodeId id) { return answer_of(answers[id.value() - 1]); }), expected);
        ASSERT_EQ(quorum_of(configuration, [&](NodeId id) { return answers[id.value() - 1] == 2; }),
                  expected == VoteResult::kWon);
      });
    }
  }
}

TEST(Quorum, Without_voters_nothing_is_reached_and_no_vote_is_won) {
  const Configuration nobody;
  EXPECT_EQ(quorum_index(nobody, [](NodeId) { return Index(7); }), Index(0));
  EXPECT_EQ(quorum_vote(nobody, [](NodeId) { return std::optional(true); }), VoteResult::kLost);
  EXPECT_FALSE(quorum_of(nobody, [](NodeId) { return true; }));
}

TEST(Quorum, Any_two_quorums_of_one_configuration_meet) {
  for (unsigned incoming = 1; incoming < 32; ++incoming) {
    for (unsigned outgoing = 0; outgoing < 32; ++outgoing) {
      const Configuration configuration{
          .voters = nodes_of(incoming), .outgoing = nodes_of(outgoing), .learners = {}, .learners_next = {}};
      std::vector<unsigned> quorums;
      for (unsigned group = 0; group < 32; ++group) {
        if (quorum_of(configuration, [&](NodeId id) { return (group >> (id.value() - 1)) & 1U; })) {
          quorums.push_back(group);
        }
      }
      ASSERT_FALSE(quorums.empty());
      for (const unsigned a : quorums) {
        for (const unsigned b : quorums) ASSERT_NE(a & b, 0U);
      }
    }
  }
}

}  // namespace
}  // namespace kv::raft
