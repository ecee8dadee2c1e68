// What top makes of the members' answers.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "kvctl/top_report.h"

namespace kv::kvctl {
namespace {

using std::chrono::seconds;

ClusterSample sample_at(int second) {
  const std::chrono::steady_clock::time_point when{seconds(second)};
  ClusterSample sample{
      .time = "T", .known = {{.id = 1, .name = "a"}, {.id = 2}}, .alarms = std::vector<client::Alarm>{}};
  client::MemberStatus status{
      .db_size = 5000, .leader = 1, .raft_index = 100, .raft_term = 7, .raft_applied_index = 100};
  status.header.member_id = 1;
  status.header.revision = 10 * second;
  sample.members.push_back({.endpoint = "e1", .taken = when, .status = status});
  sample.members[0].metrics = {{"etcd_mvcc_put_total", 20.0 * second}, {"kvd_client_connections", 3}};
  status.header.member_id = 2;
  status.raft_applied_index = 60;
  sample.members.push_back({.endpoint = "e2", .taken = when, .status = status, .metrics_error = "no \x01 way"});
  sample.members.push_back({.endpoint = "e3", .taken = when, .error = "gone"});
  return sample;
}

TEST(Metrics, Lines_with_labels_and_comments_are_left_out) {
  const Metrics metrics = parse_metrics("# HELP a b\na 1\nb{x=\"1\"} 2\nc 1.5e+06\n\nbad\nworse x\nlast 4");
  EXPECT_EQ(metrics, (Metrics{{"a", 1}, {"c", 1.5e6}, {"last", 4}}));
}

TEST(Metrics, Rates_need_two_samples_that_grew) {
  const ClusterSample before = sample_at(1), now = sample_at(3);
  EXPECT_EQ(rate_of(&before.members[0], now.members[0], {"no_such", "etcd_mvcc_put_total"}), 20);
  EXPECT_EQ(rate_of(nullptr, now.members[0], {"etcd_mvcc_put_total"}), std::nullopt);
  EXPECT_EQ(rate_of(&before.members[0], now.members[0], {"no_such"}), std::nullopt);
  EXPECT_EQ(rate_of(&now.members[0], before.members[0], {"etcd_mvcc_put_total"}), std::nullopt) << "it began anew";
}

TEST(Top, Shows_who_leads_who_lags_and_who_is_away) {
  const ClusterSample before = sample_at(1), now = sample_at(3);
  EXPECT_EQ(
      top_text(&before, now, Terminal{}),
      "T  3 endpoints, leader a in term 7\n"
      "revision 30, 10 new a second, no alarms\n"
      "\n"
      "MEMBER  ROLE         TERM  APPLIED  LAG  PUTS/S  READS/S  TXNS/S  EVENTS/S  WATCHES  CLIENTS  DB SIZE  IN USE\n"
      "a       leader          7      100    0      20        -       -         -        -        3   5.0 kB     0 B\n"
      "e2      follower        7       60   40       -        -       -         -        -        -   5.0 kB     0 B\n"
      "e3      unreachable\n"
      "\n"
      "e2: no rates, since its /metrics can't be read: no \\x01 way\n"
      "e3: gone\n");
}

TEST(Top, Json_can_be_read) {
  ClusterSample before = sample_at(1), now = sample_at(3);
  now.alarms->push_back({.member_id = 2, .type = client::AlarmType::kNoSpace});
  const auto json = nlohmann::json::parse(top_json(&before, now));
  EXPECT_EQ(json["revisions_per_s"], 10);
  EXPECT_EQ(json["alarms"][0]["alarm"], "NOSPACE");
  EXPECT_EQ(json["members"][0]["puts_per_s"], 20);
  EXPECT_EQ(json["members"][1]["lag"], 40);
  EXPECT_FALSE(json["members"][1].contains("puts_per_s"));
  EXPECT_EQ(json["members"][2]["error"], "gone");
  EXPECT_FALSE(nlohmann::json::parse(top_json(nullptr, now)).contains("revisions_per_s"));
}

}  // namespace
}  // namespace kv::kvctl
