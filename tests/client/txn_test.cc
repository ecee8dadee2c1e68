#include "client/txn.h"

#include <gtest/gtest.h>

#include "client/types.h"

namespace kv::client {
namespace {

TEST(PrefixEnd, Is_the_prefix_with_its_last_byte_grown) {
  EXPECT_EQ(prefix_end("foo"), "fop");
  EXPECT_EQ(prefix_end("a\xff"), "b");
  EXPECT_EQ(prefix_end("a\x7f"), "a\x80");
}

TEST(PrefixEnd, Is_unbounded_where_no_byte_can_grow) {
  EXPECT_EQ(prefix_end(""), std::string(1, '\0'));
  EXPECT_EQ(prefix_end("\xff\xff"), std::string(1, '\0'));
}

TEST(Txn, Builder_adds_to_what_is_there) {
  Txn txn;
  txn.when({compare_value("k", Comparison::kEqual, "v")}).when({compare_lease("k", Comparison::kGreater, 0)});
  txn.then({get_op("a"), put_op("b", "1")}).otherwise({remove_op("c")});
  EXPECT_EQ(txn.compares().size(), 2u);
  EXPECT_EQ(std::get<std::string>(txn.compares()[0].operand), "v");
  EXPECT_EQ(txn.success().size(), 2u);
  EXPECT_EQ(txn.failure().size(), 1u);
}

TEST(Txn, Is_read_only_when_no_branch_writes_however_deep) {
  Txn reads;
  reads.then({get_op("a")}).otherwise({txn_op(Txn().then({get_op("b")}))});
  EXPECT_TRUE(reads.read_only());
  EXPECT_TRUE(Txn().read_only());

  Txn writes;
  writes.then({get_op("a")}).otherwise({txn_op(Txn().otherwise({remove_op("b")}))});
  EXPECT_FALSE(writes.read_only());
}

}  // namespace
}  // namespace kv::client
