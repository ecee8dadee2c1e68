#include "kvctl/mirror.h"

#include <gtest/gtest.h>

namespace kv::kvctl {
namespace {

TEST(Mirror, A_key_changes_its_prefix_and_nothing_else) {
  EXPECT_EQ(mirrored_key({.prefix = "/a/", .dest_prefix = "/b/"}, "/a/x/a/"), "/b/x/a/");
  EXPECT_EQ(mirrored_key({.prefix = "", .dest_prefix = "/copy"}, "key"), "/copykey");
  EXPECT_EQ(mirrored_key({.prefix = "/a/", .dest_prefix = ""}, "/a/key"), "key");
}

}  // namespace
}  // namespace kv::kvctl
