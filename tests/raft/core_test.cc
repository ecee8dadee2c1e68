// What scenario files can't show well: numbers, limits, determinism.
#include <gtest/gtest.h>

#include "raft/core_cluster.h"

namespace kv::raft {
namespace {

using test::Cluster;
using test::Node;

Payload bytes(std::string text) { return std::make_shared<const std::string>(std::move(text)); }

std::vector<NodeId> ids(std::initializer_list<uint64_t> numbers) {
  std::vector<NodeId> out;
  for (const uint64_t n : numbers) out.push_back(NodeId(n));
  return out;
}

void add_voters(Cluster& cluster, std::initializer_list<uint64_t> voters) {
  for (const uint64_t id : voters) {
    cluster.add(NodeId(id), [&](Node& n) { n.machine.configuration.voters = ids(voters); });
  }
}

TEST(Core, Elects_replicates_commits_and_applies) {
  Cluster cluster;
  add_voters(cluster, {1, 2, 3});
  cluster.node(NodeId(1)).core->campaign();
  ASSERT_TRUE(cluster.stabilize());
  ASSERT_TRUE(cluster.node(NodeId(1)).core->is_leader());
  for (const char* text : {"a", "b", "c"}) {
    const Result<Index> index = cluster.node(NodeId(1)).core->propose(bytes(text));
    ASSERT_TRUE(index.ok()) << index.status().to_string();
  }
  ASSERT_TRUE(cluster.stabilize());
  for (const NodeId id : cluster.ids()) {
    EXPECT_EQ(cluster.node(id).machine.commands, (std::vector<std::string>{"a", "b", "c"})) << id;
    EXPECT_EQ(cluster.node(id).core->commit(), Index(4)) << id;
  }
}

TEST(Core, Single_member_needs_one_ready_to_write_and_one_to_commit) {
  Cluster cluster;
  add_voters(cluster, {1});
  Node& node = cluster.node(NodeId(1));
  node.core->campaign();
  ASSERT_TRUE(cluster.stabilize());
  ASSERT_TRUE(node.core->is_leader());

  ASSERT_TRUE(node.core->propose(bytes("a")).ok());
  ASSERT_TRUE(node.core->has_ready());
  Ready write = node.core->take_ready();
  EXPECT_EQ(write.entries.size(), 1U);
  EXPECT_TRUE(write.must_sync);
  EXPECT_TRUE(write.committed.empty()) << "nothing is committed before the disk has answered";
  EXPECT_FALSE(node.core->has_ready());
  node.log.append(write.entries);
  node.core->persisted(write.number);
  ASSERT_TRUE(node.core->has_ready());
  Ready commit = node.core->take_ready();
  ASSERT_EQ(commit.committed.size(), 1U);
  EXPECT_EQ(*commit.committed[0].data, "a");
  EXPECT_FALSE(commit.must_sync);
  EXPECT_FALSE(node.core->has_ready());
}

}  // namespace
}  // namespace kv::raft
