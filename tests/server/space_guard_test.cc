#include "server/space_guard.h"

#include <gtest/gtest.h>

#include "server/downgrade.h"
#include "server/space_cost.h"

namespace kv::server {
namespace {

using Verdict = SpaceGuard::Verdict;

class SpaceGuardTest : public testing::Test {
 protected:
  struct HandClock final : Clock {
    int64_t monotonic_ms() const override { return now_ms; }
    int64_t wall_ms() const override { return now_ms; }
    int64_t now_ms = 1000;
  };

  SpaceGuard guard(int64_t quota_bytes, int64_t min_free_bytes) {
    SpaceGuard::Ports ports;
    ports.state = [this] {
      ++measured_;
      return state_;
    };
    ports.disk = [this] { return disk_; };
    ports.clock = &clock_;
    return SpaceGuard({.quota_bytes = quota_bytes, .min_free_bytes = min_free_bytes}, ports);
  }

  HandClock clock_;
  SpaceGuard::StateSize state_;
  std::optional<DiskRoom> disk_ = DiskRoom{.free_bytes = 1 << 30, .total_bytes = uint64_t{1} << 32};
  int measured_ = 0;
};

TEST_F(SpaceGuardTest, A_write_must_fit_in_with_the_state) {
  auto g = guard(1000, 0);
  state_.bytes = 400;
  EXPECT_EQ(g.ask(599), Verdict::kRoom);
  clock_.now_ms += 1000;
  EXPECT_EQ(g.ask(600), Verdict::kQuota) << "etcd: size plus cost is to be less than the quota";
  EXPECT_EQ(g.ask(0), Verdict::kRoom) << "what costs nothing is never refused";
  state_.bytes = 300;
  EXPECT_EQ(g.ask(600), Verdict::kRoom) << "a refusal is never given on an old measurement";
}

TEST_F(SpaceGuardTest, What_was_let_in_counts_until_it_is_measured) {
  auto g = guard(1000, 0);
  EXPECT_EQ(g.ask(600), Verdict::kRoom);
  // Nothing of it is applied, so a measurement does not show it; the time that it needs is short.
  EXPECT_EQ(g.ask(100), Verdict::kRoom);
  EXPECT_EQ(measured_, 1) << "one measurement serves for a while";
  clock_.now_ms += 1000;
  EXPECT_EQ(g.ask(100), Verdict::kRoom);
  EXPECT_EQ(measured_, 2);
}

// etcd did not count them until 3.7.1: so the quota let through what stood in a transaction within a transaction.
TEST(SpaceCost, Transactions_within_transactions_cost_what_they_write) {
  const auto put = [](etcdserverpb::RequestOp* op) {
    op->mutable_request_put()->set_key("key");
    op->mutable_request_put()->set_value(std::string(1000, 'v'));
  };
  kvdpb::Command plain;
  put(plain.mutable_txn()->add_success());
  const size_t one = space_cost(plain);
  EXPECT_GE(one, 1003u);
  kvdpb::Command deep;
  etcdserverpb::TxnRequest* txn = deep.mutable_txn();
  for (int depth = 1; depth <= 5; ++depth) {
    txn = txn->add_failure()->mutable_request_txn();
    put(txn->add_success());
    put(txn->add_failure());
    EXPECT_EQ(space_cost(deep), static_cast<size_t>(depth) * one) << "one way of each is taken";
  }
}

TEST_F(SpaceGuardTest, Without_limits_nothing_is_measured) {
  auto g = guard(0, 0);
  EXPECT_EQ(g.ask(1 << 30), Verdict::kRoom);
  auto negative = guard(-1, 0);
  EXPECT_EQ(negative.ask(1 << 30), Verdict::kRoom);
  EXPECT_EQ(measured_, 0);
}

TEST_F(SpaceGuardTest, The_reserve_of_the_disk_stays_free_of_what_waits_in_memory_too) {
  auto g = guard(0, 1000);
  disk_ = DiskRoom{.free_bytes = 2000, .total_bytes = 10000};
  EXPECT_EQ(g.look(), Verdict::kRoom);
  EXPECT_TRUE(g.disk_is_well());
  EXPECT_EQ(g.ask(400), Verdict::kDisk) << "written three times it would go into the reserve";
  EXPECT_EQ(g.ask(300), Verdict::kRoom);
  state_ = {.bytes = 5000, .in_memory = 1000};
  EXPECT_EQ(g.look(), Verdict::kDisk);
  EXPECT_EQ(g.ask(1), Verdict::kDisk);
  state_.in_memory = 600;
  EXPECT_EQ(g.look(), Verdict::kRoom);
  EXPECT_FALSE(g.disk_is_well()) << "not before there is half a reserve more";
  state_.in_memory = 500;
  EXPECT_EQ(g.look(), Verdict::kRoom);
  EXPECT_TRUE(g.disk_is_well());
}

TEST_F(SpaceGuardTest, A_small_disk_keeps_a_twentieth_free_and_a_large_one_256_MiB) {
  EXPECT_EQ(default_reserve_bytes(64 << 20), (64u << 20) / 20);
  EXPECT_EQ(default_reserve_bytes(uint64_t{1} << 40), 256u << 20);
  auto g = guard(0, -1);
  disk_ = DiskRoom{.free_bytes = 4 << 20, .total_bytes = 64 << 20};
  EXPECT_EQ(g.look(), Verdict::kRoom);
  disk_->free_bytes = 3 << 20;
  EXPECT_EQ(g.look(), Verdict::kDisk);
}

TEST_F(SpaceGuardTest, A_file_system_that_says_nothing_stops_nobody) {
  auto g = guard(0, 1000);
  disk_ = std::nullopt;
  EXPECT_EQ(g.look(), Verdict::kRoom);
  disk_ = DiskRoom{};
  EXPECT_EQ(g.look(), Verdict::kRoom);
}

TEST(DiskRoom, Is_that_of_the_file_system) {
  const auto room = disk_room("/tmp");
  ASSERT_TRUE(room.has_value());
  EXPECT_GT(room->total_bytes, 0u);
  EXPECT_LE(room->free_bytes, room->total_bytes);
  EXPECT_FALSE(disk_room("/nowhere/at/all").has_value());
}

TEST(Downgrade, Versions_are_read_as_etcd_reads_them) {
  EXPECT_EQ(parse_cluster_version("3.5").value(), "3.5.0");
  EXPECT_EQ(parse_cluster_version("3.5.4").value(), "3.5.0");
  EXPECT_EQ(parse_cluster_version("3.5.4-rc.1+git").value(), "3.5.0");
  for (const char* wrong : {"", "3", "v3.5.0", "3.5.x", "3.05.0", "3.5.0.1", "three", "3.5.0-", "3..0", "-1.5.0"}) {
    const auto version = parse_cluster_version(wrong);
    EXPECT_EQ(version.status().text(), "etcdserver: wrong downgrade target version format") << wrong;
    EXPECT_EQ(version.status().code(), Code::kInvalidArgument);
  }
  EXPECT_EQ(short_version("3.6.0"), "3.6");
}

TEST(Downgrade, Goes_to_the_minor_version_before_and_one_at_a_time) {
  EXPECT_TRUE(check_downgrade("3.5.0", "3.6.0", false).ok());
  for (const char* wrong : {"3.6.0", "3.4.0", "3.7.0", "2.5.0"}) {
    EXPECT_EQ(check_downgrade(wrong, "3.6.0", true),
              Status(Code::kInvalidArgument, "etcdserver: invalid downgrade target version"))
        << wrong;
  }
  EXPECT_EQ(check_downgrade("3.5.0", "3.6.0", true),
            Status(Code::kFailedPrecondition, "etcdserver: cluster has a downgrade job in progress"));
}

}  // namespace
}  // namespace kv::server
