#include "server/lessor.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <map>

#include "base/random.h"

namespace kv::server {
namespace {

using Renewal = Lessor::Renewal;
using raft::Term;

Lessor::Options quick() {
  Lessor::Options options;
  options.checkpoint_interval_ms = 10'000;
  return options;
}

std::vector<int64_t> expired(const std::vector<kvdpb::Command>& commands) {
  std::vector<int64_t> ids;
  for (const auto& command : commands)
    ids.insert(ids.end(), command.lease_expiry().ids().begin(), command.lease_expiry().ids().end());
  return ids;
}

// What applying the command tells the lessor.
void apply(Lessor& lessor, const kvdpb::Command& command) {
  for (const int64_t id : command.lease_expiry().ids()) lessor.revoked(id);
  for (const auto& c : command.lease_checkpoints().checkpoints()) lessor.checkpointed(c.id(), c.remaining_ttl());
  lessor.resolved(command.has_lease_expiry() ? command.lease_expiry().number() : command.lease_checkpoints().number());
}

TEST(Lessor, A_lease_is_due_when_its_time_is_up_and_not_before) {
  Lessor lessor(quick());
  lessor.lead(Term(3), {}, 1000);
  lessor.granted({7, 5, 0}, 1000);
  EXPECT_FALSE(lessor.is_due(5999));
  EXPECT_TRUE(lessor.due(6000).empty());
  const auto commands = lessor.due(6001);
  ASSERT_EQ(expired(commands), std::vector<int64_t>{7});
  EXPECT_EQ(commands[0].lease_expiry().term(), 3u);
  EXPECT_TRUE(lessor.due(6002).empty()) << "it is proposed already";
  EXPECT_EQ(expired(lessor.due(6001 + 3000)), std::vector<int64_t>{7}) << "nothing came of it: again";
}

TEST(Lessor, A_keep_alive_counts_the_time_anew) {
  Lessor lessor(quick());
  lessor.lead(Term(1), {{7, 5, 0}}, 0);
  EXPECT_EQ(lessor.renew(7, 4000), Renewal::kRenewed);
  EXPECT_TRUE(lessor.due(9000).empty());
  EXPECT_EQ(lessor.remaining(7, 8000)->ms, 1001);
  EXPECT_EQ(expired(lessor.due(9001)), std::vector<int64_t>{7});
}

TEST(Lessor, A_keep_alive_of_a_lease_whose_end_is_proposed_waits) {
  Lessor lessor(quick());
  lessor.lead(Term(1), {{7, 5, 0}, {8, 5, 0}}, 0);
  const auto commands = lessor.due(6000);
  ASSERT_EQ(expired(commands).size(), 2u);
  EXPECT_EQ(lessor.renew(7, 6000), Renewal::kExpiring);
  apply(lessor, commands[0]);
  EXPECT_EQ(lessor.renew(7, 6000), Renewal::kUnknown);
}

TEST(Lessor, A_proposal_that_came_to_nothing_lets_the_lease_live_on) {
  Lessor lessor(quick());
  lessor.lead(Term(1), {{7, 2, 0}, {8, 2, 0}}, 0);
  const auto lost = lessor.due(2001);
  ASSERT_EQ(expired(lost).size(), 2u);
  // A later command of the same term is applied and 7 is still here: the one before was dropped.
  lessor.revoked(8);
  lessor.granted({9, 60, 0}, 2001);
  EXPECT_EQ(lessor.renew(7, 2002), Renewal::kExpiring);
  lessor.resolved(lost[0].lease_expiry().number() + 1);
  EXPECT_EQ(lessor.renew(7, 2010), Renewal::kRenewed);
  EXPECT_LE(lessor.next_ms(), 4011) << "and it is looked at in time, not at the old proposal's retry";
  EXPECT_EQ(expired(lessor.due(4011)), std::vector<int64_t>{7});
}

TEST(Lessor, A_rest_is_noted_and_a_keep_alive_clears_it_first) {
  Lessor lessor(quick());
  lessor.lead(Term(2), {{7, 60, 0}}, 0);
  EXPECT_TRUE(lessor.due(9'999).empty());
  const auto noted = lessor.due(10'000);
  ASSERT_EQ(noted.size(), 1u);
  EXPECT_EQ(noted[0].lease_checkpoints().term(), 2u);
  EXPECT_EQ(noted[0].lease_checkpoints().checkpoints(0).remaining_ttl(), 51) << "rounded up, never down";
  EXPECT_EQ(lessor.renew(7, 10'001), Renewal::kMustClear) << "it may still come to be in the state";
  const auto clear = lessor.clear({7}, 10'001);
  ASSERT_EQ(clear.size(), 1u);
  EXPECT_TRUE(lessor.clear({7}, 10'002).empty()) << "it is under way";
  apply(lessor, noted[0]);
  EXPECT_EQ(lessor.renew(7, 10'002), Renewal::kMustClear);
  apply(lessor, clear[0]);
  EXPECT_EQ(lessor.renew(7, 10'003), Renewal::kRenewed);
}

TEST(Lessor, A_rest_that_was_noted_after_a_clear_needs_another) {
  Lessor lessor(quick());
  lessor.lead(Term(2), {{7, 60, 30}}, 0);
  EXPECT_EQ(lessor.renew(7, 0), Renewal::kMustClear);
  const auto clear = lessor.clear({7}, 0);
  const auto noted = lessor.due(10'000);
  ASSERT_EQ(noted.size(), 1u);
  apply(lessor, clear[0]);
  EXPECT_EQ(lessor.renew(7, 10'000), Renewal::kMustClear);
  EXPECT_EQ(lessor.clear({7}, 10'000).size(), 1u);
}

TEST(Lessor, A_new_leader_begins_at_the_rest_that_was_noted) {
  Lessor lessor(quick());
  lessor.lead(Term(2), {{7, 60, 5}, {8, 60, 0}}, 1000);
  EXPECT_EQ(lessor.remaining(7, 1000)->ms, 5001);
  EXPECT_EQ(lessor.remaining(7, 1000)->ttl_s, 60);
  EXPECT_EQ(lessor.remaining(8, 1000)->ms, 60'001);
}

TEST(Lessor, Who_does_not_lead_knows_and_proposes_nothing) {
  Lessor lessor(quick());
  lessor.granted({7, 1, 0}, 0);
  EXPECT_EQ(lessor.size(), 0u);
  lessor.lead(Term(2), {{7, 1, 0}}, 0);
  lessor.resign();
  EXPECT_TRUE(lessor.due(1'000'000).empty());
  EXPECT_EQ(lessor.renew(7, 0), Renewal::kUnknown);
  EXPECT_EQ(lessor.next_ms(), Lessor::kNever);
}

TEST(Lessor, A_round_has_a_limit) {
  auto options = quick();
  options.expiries_per_round = 500;
  options.leases_per_command = 200;
  Lessor lessor(options);
  std::vector<store::Lease> leases;
  for (int64_t id = 1; id <= 1200; ++id) leases.push_back({id, 2, 0});
  lessor.lead(Term(1), leases, 0);
  const auto first = lessor.due(5000);
  EXPECT_EQ(first.size(), 3u);
  EXPECT_EQ(expired(first).size(), 500u);
  EXPECT_FALSE(lessor.is_due(5499));
  EXPECT_EQ(lessor.next_ms(), 5500);
  EXPECT_EQ(expired(lessor.due(5500)).size(), 500u);
  EXPECT_EQ(expired(lessor.due(6000)).size(), 200u);
}

TEST(Lessor, The_heap_agrees_with_a_list_that_is_searched) {
  Random random(7);
  auto options = quick();
  options.checkpoints = false;
  Lessor lessor(options);
  lessor.lead(Term(1), {}, 0);
  std::map<int64_t, int64_t> ends;
  std::map<int64_t, int64_t> ttls;
  int64_t now = 0;
  for (int step = 0; step < 50'000; ++step) {
    now += static_cast<int64_t>(random.below(40));
    const int64_t id = 1 + static_cast<int64_t>(random.below(200));
    switch (random.below(4)) {
      case 0:
        if (ends.contains(id)) break;
        ttls[id] = 1 + static_cast<int64_t>(random.below(10));
        ends[id] = now + ttls[id] * 1000 + 1;
        lessor.granted({id, ttls[id], 0}, now);
        break;
      case 1:
        if (ends.erase(id) > 0) lessor.revoked(id);
        break;
      default:
        ASSERT_EQ(lessor.renew(id, now), ends.contains(id) ? Renewal::kRenewed : Renewal::kUnknown);
        if (ends.contains(id)) ends[id] = now + ttls[id] * 1000 + 1;
    }
    int64_t first = Lessor::kNever;
    for (const auto& [lease, end] : ends) first = std::min(first, end);
    ASSERT_EQ(lessor.is_due(now), first <= now);
    ASSERT_LE(lessor.next_ms(), first);
    for (const auto& command : lessor.due(now)) {
      for (const int64_t gone : command.lease_expiry().ids()) {
        ASSERT_LE(ends.at(gone), now);
        ends.erase(gone);
      }
      apply(lessor, command);
    }
    for (const auto& [lease, end] : ends) ASSERT_GT(end, now) << "lease " << lease;
    ASSERT_EQ(lessor.size(), ends.size());
  }
}

// Prints what a keep-alive costs with 100,000 leases; fails when it is far from a look-up and a heap operation.
TEST(Lessor, A_hundred_thousand_leases_cost_a_heap_operation_a_keep_alive) {
  constexpr int64_t kLeases = 100'000;
  Lessor lessor({});
  std::vector<store::Lease> leases;
  for (int64_t id = 1; id <= kLeases; ++id) leases.push_back({id * 7919, 60 + id % 60, 0});
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  };
  auto start = Clock::now();
  lessor.lead(Term(1), leases, 0);
  const double lead_us = since(start);
  // Ten minutes: everybody keeps alive every 20 s, and what is due is looked for every half second.
  Random random(1);
  int64_t renewals = 0, found = 0;
  start = Clock::now();
  for (int64_t now = 0; now < 600'000; now += 500) {
    for (int64_t i = 0; i < kLeases / 40; ++i) {
      renewals += lessor.renew(leases[(now / 500 % 40) * (kLeases / 40) + i].id, now) == Renewal::kRenewed;
    }
    found += static_cast<int64_t>(lessor.due(now).size());
  }
  const double renew_us = since(start);
  EXPECT_EQ(renewals, 600'000 / 500 * (kLeases / 40));
  EXPECT_EQ(found, 0);
  start = Clock::now();
  for (int i = 0; i < 100'000; ++i) found += lessor.is_due(600'000 + i % 10);
  const double idle_us = since(start);
  std::printf(
      "[ figure   ] 100,000 leases: begin to lead %.1f ms; keep-alive %.3f us, all that is due for them "
      "included; a look when nothing is due %.4f us\n",
      lead_us / 1000, renew_us / static_cast<double>(renewals), idle_us / 100'000);
  EXPECT_LT(renew_us / static_cast<double>(renewals), 20.0);
  EXPECT_LT(idle_us / 100'000, 20.0);
}

}  // namespace
}  // namespace kv::server
