#include "kvctl/requests.h"

#include <gtest/gtest.h>

#include <sstream>

namespace kv::kvctl {
namespace {

using client::SortOrder;
using client::SortTarget;
using Arguments = std::vector<std::string>;
const std::string kNul(1, '\0');

template <typename T>
Exit failure(const std::variant<T, Exit>& made) {
  const auto* exit = std::get_if<Exit>(&made);
  EXPECT_NE(exit, nullptr) << "it was made";
  return exit != nullptr ? *exit : Exit{};
}

TEST(GetRequest, Prefix_and_from_key_make_ranges) {
  EXPECT_EQ(std::get<0>(GetFlags{.prefix = true}.request({"k"})).options.range_end, "l");
  EXPECT_EQ(std::get<0>(GetFlags{.from_key = true}.request({"k"})).options.range_end, kNul);
  const auto everything = std::get<0>(GetFlags{.prefix = true}.request({""}));
  EXPECT_EQ(everything.key, kNul);
  EXPECT_EQ(everything.options.range_end, kNul);
  EXPECT_EQ(std::get<0>(GetFlags{}.request({"a", "c", "ignored"})).options.range_end, "c");
}

TEST(GetRequest, Order_and_target_are_read_in_any_case) {
  const auto op = std::get<0>(GetFlags{.order = "descend", .sort_by = "Modify"}.request({"k"}));
  EXPECT_EQ(op.options.sort_order, SortOrder::kDescend);
  EXPECT_EQ(op.options.sort_target, SortTarget::kModRevision);
}

TEST(GetRequest, Negative_revisions_mean_none) {
  const auto op = std::get<0>(GetFlags{.rev = -1, .min_mod_rev = -2}.request({"k"}));
  EXPECT_EQ(op.options.revision, 0);
  EXPECT_EQ(op.options.min_mod_revision, 0);
}

TEST(GetRequest, What_cannot_go_together_is_refused) {
  EXPECT_EQ(failure(GetFlags{}.request({})).code, kExitBadArgs);
  EXPECT_EQ(failure(GetFlags{.prefix = true, .from_key = true}.request({"k"})).code, kExitBadArgs);
  EXPECT_EQ(failure(GetFlags{.keys_only = true, .count_only = true}.request({"k"})).code, kExitBadArgs);
  EXPECT_EQ(failure(GetFlags{.prefix = true}.request({"k", "l"})).code, kExitBadArgs);
  EXPECT_EQ(failure(GetFlags{.consistency = "x"}.request({"k"})).error, "unknown consistency flag \"x\"");
  EXPECT_EQ(failure(GetFlags{.order = "up"}.request({"k"})).code, kExitBadFeature);
  EXPECT_EQ(failure(GetFlags{.sort_by = "size"}.request({"k"})).code, kExitBadFeature);
  EXPECT_EQ(failure(GetFlags{.min_mod_rev = 7, .max_mod_rev = 3}.request({"k"})).error,
            "getMinModRev(=7) > getMaxModRev(=3)");
}

TEST(PutRequest, Value_comes_from_the_input_when_it_is_not_an_argument) {
  std::istringstream in("from\nstdin\n");
  EXPECT_EQ(std::get<0>(PutFlags{}.request({"k"}, &in)).value, "from\nstdin\n");
  std::istringstream unread("unread");
  EXPECT_EQ(std::get<0>(PutFlags{}.request({"k", ""}, &unread)).value, "");
  std::istringstream empty;
  EXPECT_EQ(failure(PutFlags{}.request({"k"}, &empty)).code, kExitBadArgs);
  EXPECT_EQ(failure(PutFlags{}.request({"k"}, nullptr)).code, kExitBadArgs);
}

TEST(PutRequest, Ignored_value_is_not_read) {
  std::istringstream in("unread");
  EXPECT_EQ(std::get<0>(PutFlags{.ignore_value = true}.request({"k"}, &in)).value, "");
  EXPECT_EQ(failure(PutFlags{.ignore_value = true}.request({"k", "v"}, &in)).code, kExitBadArgs);
}

TEST(PutRequest, Lease_is_hexadecimal) {
  EXPECT_EQ(std::get<0>(PutFlags{.lease = "1f"}.request({"k", "v"}, nullptr)).options.lease, 31);
  EXPECT_EQ(failure(PutFlags{.lease = "xyz"}.request({"k", "v"}, nullptr)).error,
            "bad lease ID (strconv.ParseInt: parsing \"xyz\": invalid syntax), expecting ID in Hex");
}

TEST(DelRequest, Ranges_and_their_limits) {
  EXPECT_EQ(std::get<0>(DelFlags{.prefix = true}.request({"k"})).options.range_end, "l");
  EXPECT_EQ(std::get<0>(DelFlags{}.request({"a", "c"})).options.range_end, "c");
  EXPECT_EQ(failure(DelFlags{}.request({"a", "b", "c"})).code, kExitBadArgs);
  EXPECT_EQ(failure(DelFlags{.from_key = true}.request({"a", "b"})).code, kExitBadArgs);
  EXPECT_EQ(failure(DelFlags{.prefix = true, .from_key = true}.request({"a"})).code, kExitBadArgs);
}

}  // namespace
}  // namespace kv::kvctl
