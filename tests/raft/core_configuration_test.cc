// Configuration changes, over every configuration of four members and every change of them.
#include "raft/core/configuration.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "raft/core/quorum.h"
#include "raft/types.h"

namespace kv::raft {
namespace {

constexpr unsigned kNodes = 4;

// Every configuration that is not joint: each node is a voter, a learner or no member.
std::vector<Configuration> simple_configurations() {
  std::vector<Configuration> all;
  for (unsigned code = 0; code < 81; ++code) {
    Configuration c;
    unsigned rest = code;
    for (unsigned i = 1; i <= kNodes; ++i, rest /= 3) {
      if (rest % 3 == 1) c.voters.push_back(NodeId(i));
      if (rest % 3 == 2) c.learners.push_back(NodeId(i));
    }
    if (!c.voters.empty()) all.push_back(c);
  }
  return all;
}

std::vector<SingleChange> single_changes() {
  std::vector<SingleChange> all;
  for (unsigned i = 1; i <= kNodes; ++i) {
    for (const ChangeType type : {ChangeType::kAddVoter, ChangeType::kAddLearner, ChangeType::kRemove}) {
      all.push_back({type, NodeId(i)});
    }
  }
  return all;
}

std::vector<unsigned> quorums(const Configuration& c) {
  std::vector<unsigned> found;
  for (unsigned group = 0; group < (1U << kNodes); ++group) {
    if (quorum_of(c, [&](NodeId id) { return (group >> (id.value() - 1)) & 1U; })) found.push_back(group);
  }
  return found;
}

// The heart of 4.1 and 4.3: there can't be a decision by one and another by the other without anybody in common.
void expect_quorums_meet(const Configuration& a, const Configuration& b) {
  for (const unsigned x : quorums(a)) {
    for (const unsigned y : quorums(b)) ASSERT_NE(x & y, 0U);
  }
}

TEST(Configuration, After_a_single_change_old_and_new_quorums_meet) {
  size_t changes = 0;
  for (const Configuration& before : simple_configurations()) {
    for (const SingleChange& change : single_changes()) {
      const Result<Configuration> after = changed(before, {.changes = {change}, .context = {}});
      if (!after.ok()) continue;
      ++changes;
      ASSERT_TRUE(valid(*after));
      ASSERT_FALSE(after->joint());
      expect_quorums_meet(before, *after);
      const NodeId id = change.node;
      ASSERT_EQ(is_voter(*after, id), change.type == ChangeType::kAddVoter);
      ASSERT_EQ(is_learner(*after, id), change.type == ChangeType::kAddLearner);
      for (unsigned i = 1; i <= kNodes; ++i) {
        if (NodeId(i) == id) continue;
        ASSERT_EQ(is_voter(*after, NodeId(i)), is_voter(before, NodeId(i)));
        ASSERT_EQ(is_learner(*after, NodeId(i)), is_learner(before, NodeId(i)));
      }
    }
  }
  EXPECT_GT(changes, 400U);
}

TEST(Configuration, Through_the_joint_one_any_two_changes_are_safe) {
  size_t changes = 0;
  for (const Configuration& before : simple_configurations()) {
    for (const SingleChange& one : single_changes()) {
      for (const SingleChange& other : single_changes()) {
        const ConfigChange change{.changes = {one, other}, .context = {}};
        const Result<Configuration> joint = changed(before, change);
        if (!joint.ok()) continue;
        ++changes;
        ASSERT_TRUE(valid(*joint));
        ASSERT_TRUE(joint->joint());
        ASSERT_TRUE(joint->auto_leave);
        ASSERT_EQ(joint->outgoing, before.voters);
        expect_quorums_meet(before, *joint);
        const Result<Configuration> after = changed(*joint, {.changes = {}, .leave_joint = true, .context = {}});
        ASSERT_TRUE(after.ok());
        ASSERT_TRUE(valid(*after));
        ASSERT_FALSE(after->joint());
        ASSERT_FALSE(after->auto_leave);
        expect_quorums_meet(*joint, *after);
        for (const SingleChange& single : change.changes) {
          ASSERT_EQ(is_voter(*after, single.node), single.type == ChangeType::kAddVoter);
          ASSERT_EQ(is_learner(*after, single.node), single.type == ChangeType::kAddLearner);
        }
        // Nothing else while joint.
        ASSERT_FALSE(changed(*joint, {.changes = {one}, .context = {}}).ok());
      }
    }
  }
  EXPECT_GT(changes, 3000U);
}

TEST(Configuration, Explicit_joint_stays_until_left) {
  Configuration c;
  c.voters = {NodeId(1), NodeId(2)};
  const Result<Configuration> joint =
      changed(c, {.changes = {{ChangeType::kAddVoter, NodeId(3)}}, .joint = true, .context = {}});
  ASSERT_TRUE(joint.ok());
  EXPECT_TRUE(joint->joint());
  EXPECT_FALSE(joint->auto_leave);
}

TEST(Configuration, A_demoted_voter_becomes_learner_only_when_the_joint_one_is_left) {
  Configuration c;
  c.voters = {NodeId(1), NodeId(2), NodeId(3)};
  const Result<Configuration> joint = changed(
      c, {.changes = {{ChangeType::kAddLearner, NodeId(3)}, {ChangeType::kAddVoter, NodeId(4)}}, .context = {}});
  ASSERT_TRUE(joint.ok());
  EXPECT_TRUE(is_voter(*joint, NodeId(3)));
  EXPECT_EQ(joint->learners_next, std::vector<NodeId>{NodeId(3)});
  EXPECT_TRUE(joint->learners.empty());
  const Result<Configuration> after = changed(*joint, {.changes = {}, .leave_joint = true, .context = {}});
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(after->learners, std::vector<NodeId>{NodeId(3)});
}

TEST(Configuration, The_first_voters_need_nobodys_consent) {
  const Result<Configuration> after =
      changed({}, {.changes = {{ChangeType::kAddVoter, NodeId(1)}, {ChangeType::kAddVoter, NodeId(2)}}, .context = {}});
  ASSERT_TRUE(after.ok());
  EXPECT_FALSE(after->joint());
  EXPECT_TRUE(valid(*after));
}

TEST(Configuration, Refuses_more_members_than_the_limit) {
  Configuration c;
  for (unsigned i = 1; i <= kMaxMembers; ++i) c.voters.push_back(NodeId(i));
  ASSERT_TRUE(valid(c));
  EXPECT_FALSE(changed(c, {.changes = {{ChangeType::kAddLearner, NodeId(1000)}}, .context = {}}).ok());
  c.voters.push_back(NodeId(1000));
  EXPECT_FALSE(valid(c));
}

TEST(Configuration, What_is_not_one_is_recognised) {
  const auto nodes = [](std::initializer_list<uint64_t> ids) {
    std::vector<NodeId> out;
    for (const uint64_t id : ids) out.push_back(NodeId(id));
    return out;
  };
  EXPECT_TRUE(valid({}));
  EXPECT_FALSE(valid({.voters = nodes({2, 1}), .outgoing = {}, .learners = {}, .learners_next = {}})) << "unsorted";
  EXPECT_FALSE(valid({.voters = nodes({1, 1}), .outgoing = {}, .learners = {}, .learners_next = {}})) << "twice";
  EXPECT_FALSE(valid({.voters = nodes({0, 1}), .outgoing = {}, .learners = {}, .learners_next = {}})) << "nobody";
  EXPECT_FALSE(valid({.voters = {}, .outgoing = {}, .learners = nodes({1}), .learners_next = {}})) << "no voter";
  EXPECT_FALSE(valid({.voters = {}, .outgoing = nodes({1}), .learners = {}, .learners_next = {}})) << "no voter";
  EXPECT_FALSE(valid({.voters = nodes({1}), .outgoing = {}, .learners = nodes({1}), .learners_next = {}})) << "both";
  EXPECT_FALSE(valid({.voters = nodes({1}), .outgoing = {}, .learners = {}, .learners_next = nodes({2})}))
      << "learner-to-be that is no outgoing voter";
  EXPECT_FALSE(valid({.voters = nodes({1}), .outgoing = {}, .learners = {}, .learners_next = {}, .auto_leave = true}))
      << "nothing to leave";
}

// ---- the bytes of a change --------------------------------------------------------------------------------------

std::vector<ConfigChange> some_changes() {
  return {
      {.changes = {}, .leave_joint = true, .context = {}},
      {.changes = {{ChangeType::kAddVoter, NodeId(1)}}, .context = "peer urls"},
      {.changes = {{ChangeType::kAddLearner, NodeId(~uint64_t{0})}, {ChangeType::kRemove, NodeId(258)}},
       .joint = true,
       .context = std::string("\0\xff", 2)},
  };
}

TEST(ConfigChangeBytes, Decode_to_what_was_encoded) {
  for (const ConfigChange& change : some_changes()) {
    const auto decoded = decode_config_change(encode(change));
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(*decoded, change);
  }
}

TEST(ConfigChangeBytes, Are_those_that_the_format_says) {
  EXPECT_EQ(encode({.changes = {{ChangeType::kRemove, NodeId(258)}}, .joint = true, .context = "c"}),
            std::string("\x01\x01\x01\0\0\0\x02\x02\x01\0\0\0\0\0\0\x01\0\0\0c", 20));
}

TEST(ConfigChangeBytes, Cut_or_lengthened_or_wrong_are_no_change) {
  for (const ConfigChange& change : some_changes()) {
    const std::string bytes = encode(change);
    for (size_t length = 0; length < bytes.size(); ++length) {
      EXPECT_FALSE(decode_config_change(std::string_view(bytes).substr(0, length)).has_value()) << length;
    }
    EXPECT_FALSE(decode_config_change(bytes + "x").has_value());
    std::string other = bytes;
    other[0] = 2;
    EXPECT_FALSE(decode_config_change(other).has_value()) << "version";
    other = bytes;
    other[1] = 4;
    EXPECT_FALSE(decode_config_change(other).has_value()) << "flags";
  }
  std::string type = encode({.changes = {{ChangeType::kRemove, NodeId(1)}}, .context = {}});
  type[6] = 3;
  EXPECT_FALSE(decode_config_change(type).has_value());
}

}  // namespace
}  // namespace kv::raft
