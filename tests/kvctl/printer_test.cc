// What golden.py can't see with Debian's etcdctl: what came to the formats later than 3.4. With a later etcdctl
// (golden.py --etcdctl PATH) it compares that too.
#include "kvctl/printer.h"

#include <gtest/gtest.h>

#include <sstream>

#include "kvctl/rows.h"

namespace kv::kvctl {
namespace {

template <typename Print>
std::string printed(std::string_view format, bool hex, Print print) {
  std::ostringstream out;
  std::ostringstream err;
  const auto printer = make_printer(format, hex, out, err);
  EXPECT_NE(printer, nullptr);
  print(*printer);
  return out.str();
}

std::vector<EndpointStatus> a_status() {
  client::MemberStatus s;
  s.header = {0xfedcba9876543210, 0xabc, 9, 7};
  s.version = "3.6.0";
  s.db_size = 24576;
  s.db_size_in_use = 16384;
  s.db_size_quota = 8589934592;
  s.leader = 0xabc;
  s.raft_index = 8;
  s.raft_term = 7;
  s.raft_applied_index = 8;
  s.errors = {"one", "two"};
  s.storage_version = "3.6.0";
  s.downgrade_info = client::DowngradeInfo{};
  return {{"h:1", s}};
}

TEST(Printer, Unknown_format_has_no_printer) {
  std::ostringstream out;
  EXPECT_EQ(make_printer("xml", false, out, out), nullptr);
}

TEST(Printer, Formats_say_what_they_cannot_print) {
  std::ostringstream out;
  EXPECT_FALSE(make_printer("table", false, out, out)->can_print(Printed::kKeyValues));
  EXPECT_FALSE(make_printer("protobuf", false, out, out)->can_print(Printed::kEndpoints));
  EXPECT_TRUE(make_printer("protobuf", false, out, out)->can_print(Printed::kMembers));
  EXPECT_FALSE(make_printer("fields", false, out, out)->can_print(Printed::kOperations));
  EXPECT_FALSE(make_printer("table", false, out, out)->can_print(Printed::kAlarms));
}

TEST(Printer, Alarms_are_gogos_text_with_the_blank_at_its_end) {
  client::AlarmListResponse alarms;
  alarms.header = {1, 2, 3, 4};
  alarms.alarms = {{12, client::AlarmType::kNoSpace}, {0, client::AlarmType::kCorrupt}};
  const auto print = [&](Printer& p) { p.alarms(alarms); };
  EXPECT_EQ(printed("simple", false, print), "memberID:12 alarm:NOSPACE \nalarm:CORRUPT \n");
  EXPECT_EQ(printed("json", false, print), R"({"header":{"cluster_id":1,"member_id":2,"revision":3,"raft_term":4},)"
                                           R"("alarms":[{"memberID":12,"alarm":1},{"alarm":2}]})"
                                           "\n");
  EXPECT_EQ(printed("fields", true, print),
            "\"ClusterID\" : 1\n\"MemberID\" : 2\n\"Revision\" : 3\n\"RaftTerm\" : 4\n\"MemberID\" : c\n"
            "\"AlarmType\" : NOSPACE\n\n\"MemberID\" : 0\n\"AlarmType\" : CORRUPT\n\n");
  // Disarming all answers without a header.
  alarms.header = {};
  EXPECT_EQ(printed("fields", false, print),
            "\"MemberID\" : 12\n\"AlarmType\" : NOSPACE\n\n\"MemberID\" : 0\n\"AlarmType\" : CORRUPT\n\n");
}

TEST(Printer, Operations_on_the_cluster_are_told_in_etcdctls_words) {
  EXPECT_EQ(printed("simple", false, [](Printer& p) { p.moved_leader(0xabc, 0xdef, {}); }),
            "Leadership transferred from abc to def\n");
  EXPECT_EQ(printed("json", false, [](Printer& p) { p.moved_leader(0xabc, 0xdef, {}); }), "{}\n");
  client::DowngradeResponse downgrade;
  downgrade.version = "3.6";
  EXPECT_EQ(printed("simple", false, [&](Printer& p) { p.downgrade("validate", downgrade); }),
            "Downgrade validate success, cluster version 3.6\n");
  EXPECT_EQ(printed("json", false, [&](Printer& p) { p.downgrade("enable", downgrade); }), R"({"version":"3.6"})"
                                                                                           "\n");
}

TEST(Printer, Status_list_has_etcdctl_3_7s_columns) {
  EXPECT_EQ(printed("simple", false, [](Printer& p) { p.status(a_status()); }),
            "h:1, abc, 3.6.0, 3.6.0, 25 kB, 16 kB, 34%, 8.6 GB, true, false, 7, 8, 8, one, two, , false\n");
}

TEST(Printer, Status_json_keeps_a_downgrade_that_says_nothing) {
  EXPECT_EQ(printed("json", true, [](Printer& p) { p.status(a_status()); }),
            R"([{"Endpoint":"h:1","Status":{"header":{"cluster_id":18364758544493064720,"member_id":2748,)"
            R"("revision":9,"raft_term":7},"version":"3.6.0","dbSize":24576,"leader":2748,"raftIndex":8,"raftTerm":7,)"
            R"("raftAppliedIndex":8,"errors":["one","two"],"dbSizeInUse":16384,"storageVersion":"3.6.0",)"
            R"("dbSizeQuota":8589934592,"downgradeInfo":{}}}])"
            "\n");
}

TEST(Printer, Status_of_an_empty_database_does_not_divide_by_zero) {
  auto status = a_status();
  status[0].status.db_size = 0;
  EXPECT_NE(printed("simple", false, [&](Printer& p) { p.status(status); }).find(", 0 B, 16 kB, 0%, "),
            std::string::npos);
}

TEST(Printer, Fields_in_hex_show_ids_in_hexadecimal) {
  client::PutResponse put{{0xfedcba9876543210, 0xabc, 9, 7}, client::KeyValue{"k\n", 1, 2, 3, "v", 31}};
  EXPECT_EQ(printed("fields", true, [&](Printer& p) { p.put(put); }),
            "\"ClusterID\" : fedcba9876543210\n\"MemberID\" : abc\n\"Revision\" : 9\n\"RaftTerm\" : 7\n"
            "\"PrevKey\" : \"k\\n\"\n\"PrevCreateRevision\" : 1\n\"PrevModRevision\" : 2\n\"PrevVersion\" : 3\n"
            "\"PrevValue\" : \"v\"\n\"PrevLease\" : 000000000000001f\n");
}

TEST(Printer, Json_without_any_endpoint_is_null) {
  EXPECT_EQ(printed("json", false, [](Printer& p) { p.status({}); }), "null\n");
}

TEST(Printer, Unhealthy_endpoints_go_to_the_error_stream) {
  std::ostringstream out;
  std::ostringstream err;
  make_printer("simple", false, out, err)
      ->health(
          {{"a:1", true, std::chrono::microseconds(1500), ""}, {"b:2", false, std::chrono::seconds(5), "no answer"}});
  EXPECT_EQ(out.str(), "a:1 is healthy: successfully committed proposal: took = 1.5ms\n");
  EXPECT_EQ(err.str(), "b:2 is unhealthy: failed to commit proposal: no answer\n");
}

TEST(Table, Heading_is_centred_and_cells_stand_to_the_right) {
  EXPECT_EQ(boxed({{"ID", "hash_revision"}, {{"größe", "1"}, {"x", ""}}}),
            "┌───────┬───────────────┐\n"
            "│  ID   │ HASH REVISION │\n"
            "├───────┼───────────────┤\n"
            "│ größe │             1 │\n"
            "│     x │               │\n"
            "└───────┴───────────────┘\n");
}

TEST(Table, Without_rows_is_its_heading) {
  EXPECT_EQ(boxed({{"a", "b"}, {}}),
            "┌───┬───┐\n"
            "│ A │ B │\n"
            "└───┴───┘\n");
}

}  // namespace
}  // namespace kv::kvctl
