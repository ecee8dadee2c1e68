// What is refused before it is proposed, with etcd's words.
#include <gtest/gtest.h>

#include "store/store.h"

namespace kv::store {
namespace {

using etcdserverpb::DeleteRangeRequest;
using etcdserverpb::PutRequest;
using etcdserverpb::RangeRequest;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

const Status kNoKey{Code::kInvalidArgument, "etcdserver: key is not provided"};
const Status kDuplicate{Code::kInvalidArgument, "etcdserver: duplicate key given in txn request"};
const Status kTooMany{Code::kInvalidArgument, "etcdserver: too many operations in txn request"};
const std::string kZero{"\0", 1};

RequestOp put(const std::string& key) {
  RequestOp op;
  op.mutable_request_put()->set_key(key);
  return op;
}
RequestOp del(const std::string& key, const std::string& end = "") {
  RequestOp op;
  op.mutable_request_delete_range()->set_key(key);
  op.mutable_request_delete_range()->set_range_end(end);
  return op;
}
TxnRequest txn(std::vector<RequestOp> success, std::vector<RequestOp> failure = {}) {
  TxnRequest t;
  for (auto& op : success) *t.add_success() = op;
  for (auto& op : failure) *t.add_failure() = op;
  return t;
}
RequestOp nested(std::vector<RequestOp> success, std::vector<RequestOp> failure = {}) {
  RequestOp op;
  *op.mutable_request_txn() = txn(std::move(success), std::move(failure));
  return op;
}
Status check_txn(const TxnRequest& t) { return check(t, 128); }

TEST(Check, Key_must_be_given) {
  EXPECT_EQ(check(RangeRequest()), kNoKey);
  EXPECT_EQ(check(PutRequest()), kNoKey);
  EXPECT_EQ(check(DeleteRangeRequest()), kNoKey);
  EXPECT_EQ(check_txn(txn({put("")})), kNoKey);
  EXPECT_EQ(check_txn(txn({}, {del("")})), kNoKey);
  EXPECT_EQ(check_txn(txn({nested({put("")})})), kNoKey);
  TxnRequest t;
  t.add_compare();
  EXPECT_EQ(check_txn(t), kNoKey);
}

TEST(Check, Key_comes_before_sort_option) {
  RangeRequest r;
  r.set_sort_order(static_cast<RangeRequest::SortOrder>(9));
  EXPECT_EQ(check(r), kNoKey);
  r.set_key("a");
  const Status invalid{Code::kInvalidArgument, "etcdserver: invalid sort option"};
  EXPECT_EQ(check(r), invalid);
  r.clear_sort_order();
  r.set_sort_target(static_cast<RangeRequest::SortTarget>(5));
  EXPECT_EQ(check(r), invalid);
  r.clear_sort_target();
  EXPECT_TRUE(check(r).ok());
}

TEST(Check, Ignored_value_and_lease_must_not_be_given) {
  PutRequest r;
  r.set_key("a");
  r.set_value("v");
  r.set_lease(1);
  r.set_ignore_value(true);
  r.set_ignore_lease(true);
  EXPECT_EQ(check(r), Status(Code::kInvalidArgument, "etcdserver: value is provided"));
  r.clear_value();
  EXPECT_EQ(check(r), Status(Code::kInvalidArgument, "etcdserver: lease is provided"));
  r.clear_lease();
  EXPECT_TRUE(check(r).ok());
}

TEST(Check, Operation_without_a_request_is_refused) {
  EXPECT_EQ(check_txn(txn({RequestOp()})), Status(Code::kInvalidArgument, "etcdserver: key not found"));
}

TEST(Check, Operations_are_counted_per_list_and_nested_ones_have_what_is_left) {
  std::vector<RequestOp> ops;
  for (int i = 0; i < 4; ++i) ops.push_back(put("k" + std::to_string(i)));
  EXPECT_TRUE(check(txn(ops, {put("a")}), 4).ok());
  EXPECT_EQ(check(txn(ops), 3), kTooMany);
  EXPECT_EQ(check(txn({}, ops), 3), kTooMany);
  TxnRequest compares;
  for (int i = 0; i < 4; ++i) compares.add_compare()->set_key("a");
  EXPECT_TRUE(check(compares, 4).ok());
  EXPECT_EQ(check(compares, 3), kTooMany);
  // One operation here, four within.
  EXPECT_TRUE(check(txn({nested(ops)}), 5).ok());
  EXPECT_EQ(check(txn({nested(ops)}), 4), kTooMany);
  // The number comes before everything else that is wrong.
  EXPECT_EQ(check(txn({put(""), put("")}), 1), kTooMany);
}

TEST(Check, One_key_is_put_at_most_once) {
  EXPECT_EQ(check_txn(txn({put("a"), put("a")})), kDuplicate);
  EXPECT_EQ(check_txn(txn({}, {put("a"), put("a")})), kDuplicate);
  EXPECT_TRUE(check_txn(txn({put("a")}, {put("a")})).ok());
  EXPECT_EQ(check_txn(txn({put("a"), nested({put("a")})})), kDuplicate);
  EXPECT_EQ(check_txn(txn({nested({put("a")}), put("a")})), kDuplicate);
  EXPECT_EQ(check_txn(txn({nested({put("a")}), nested({put("a")})})), kDuplicate);
  EXPECT_EQ(check_txn(txn({nested({put("a")}), nested({}, {put("a")})})), kDuplicate);
  EXPECT_TRUE(check_txn(txn({nested({put("a")}, {put("a")})})).ok());
  EXPECT_EQ(check_txn(txn({nested({put("a")}, {put("a")}), put("a")})), kDuplicate);
}

TEST(Check, Put_and_delete_of_one_key_collide_whatever_their_order) {
  EXPECT_EQ(check_txn(txn({put("a"), del("a")})), kDuplicate);
  EXPECT_EQ(check_txn(txn({del("a"), put("a")})), kDuplicate);
  EXPECT_EQ(check_txn(txn({del("a", "c"), put("b")})), kDuplicate);
  EXPECT_EQ(check_txn(txn({put("b"), del("a", "c")})), kDuplicate);
  EXPECT_TRUE(check_txn(txn({del("a", "c"), put("c")})).ok());
  EXPECT_TRUE(check_txn(txn({del("a"), put("aa")})).ok());
  EXPECT_TRUE(check_txn(txn({del("b", "c"), put("a")})).ok());
  EXPECT_EQ(check_txn(txn({del("a", "d"), del("c", "f"), put("e")})), kDuplicate);
  EXPECT_EQ(check_txn(txn({del("a"), nested({put("a")})})), kDuplicate);
  EXPECT_EQ(check_txn(txn({nested({put("a")}), del("a")})), kDuplicate);
  EXPECT_EQ(check_txn(txn({nested({del("a")}), put("a")})), kDuplicate);
  EXPECT_EQ(check_txn(txn({nested({del("a")}), nested({put("a")})})), kDuplicate);
  EXPECT_TRUE(check_txn(txn({nested({del("a")}, {put("a")})})).ok());
}

TEST(Check, Deletes_may_overlap) { EXPECT_TRUE(check_txn(txn({del("a", "z"), del("b"), del("a", "c")})).ok()); }

// Oddities of etcd's interval tree that clients may rely on.
TEST(Check, Delete_from_a_key_on_collides_with_nothing) {
  EXPECT_TRUE(check_txn(txn({del("a", kZero), put("b")})).ok());
  EXPECT_TRUE(check_txn(txn({del("b", "a"), put("b")})).ok());
}

TEST(Check, Delete_in_a_later_nested_transaction_may_follow_a_put_in_an_earlier) {
  EXPECT_TRUE(check_txn(txn({nested({put("a")}), nested({del("a")})})).ok());
}

TEST(Check, Many_overlapping_intervals_are_checked_in_little_time) {
  // 60 x 60 puts and as many deletes: quadratic work would be 13 million string comparisons a pair of levels.
  std::vector<RequestOp> outer;
  for (int i = 0; i < 60; ++i) {
    std::vector<RequestOp> inner;
    for (int j = 0; j < 60; ++j) {
      const std::string key = "k" + std::to_string(i) + "-" + std::to_string(j);
      inner.push_back(j % 2 ? put(key) : del(key, key + "0"));
    }
    outer.push_back(nested(inner));
  }
  EXPECT_TRUE(check_txn(txn(outer)).ok());
}

TEST(Check, Read_only_is_what_has_ranges_only) {
  EXPECT_TRUE(is_read_only(TxnRequest()));
  RequestOp range;
  range.mutable_request_range()->set_key("a");
  EXPECT_TRUE(is_read_only(txn({range}, {range})));
  EXPECT_FALSE(is_read_only(txn({range}, {put("a")})));
  EXPECT_FALSE(is_read_only(txn({nested({range})})));
}

}  // namespace
}  // namespace kv::store
