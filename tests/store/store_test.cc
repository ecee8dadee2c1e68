#include "store/store.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "temp_store.h"

namespace kv::store {
namespace {

TEST(Store, New_store_is_at_revision_1_with_nothing_applied) {
  TempStore s;
  EXPECT_EQ(s->revision(), Revision(1));
  EXPECT_EQ(s->applied_index(), 0u);
  EXPECT_EQ(s->stats().keys, 0u);
  EXPECT_EQ(s.range("a").header().revision(), 1);
}

TEST(Store, Directory_is_for_its_owner_alone) {
  TempStore s;
  struct stat st;
  ASSERT_EQ(::stat(s.path().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
}

TEST(Store, Put_sets_revisions_and_version_as_etcd_does) {
  TempStore s;
  EXPECT_EQ(s.put("a", "1"), 2);
  EXPECT_EQ(s.put("a", "2"), 3);
  const auto r = s.range("a");
  ASSERT_EQ(r.kvs_size(), 1);
  EXPECT_EQ(r.count(), 1);
  EXPECT_EQ(r.kvs(0).create_revision(), 2);
  EXPECT_EQ(r.kvs(0).mod_revision(), 3);
  EXPECT_EQ(r.kvs(0).version(), 2);
  EXPECT_EQ(r.kvs(0).value(), "2");
}

TEST(Store, Deleted_key_is_gone_now_and_there_in_the_past) {
  TempStore s;
  s.put("a", "1");
  EXPECT_EQ(s.del("a"), 3);
  EXPECT_EQ(s.get("a"), "(none)");
  EXPECT_EQ(s.get("a", 2), "1");
  s.put("a", "2");
  EXPECT_EQ(s.range("a").kvs(0).version(), 1);
  EXPECT_EQ(s.range("a").kvs(0).create_revision(), 4);
  EXPECT_EQ(s.get("a", 3), "(none)");
  EXPECT_EQ(s.get("a", 2), "1");
}

TEST(Store, Delete_of_nothing_makes_no_revision) {
  TempStore s;
  s.put("a", "1");
  EXPECT_EQ(s.del("b"), 2);
  EXPECT_EQ(s->revision(), Revision(2));
}

TEST(Store, Batch_commands_see_each_other_and_nobody_sees_them_before_commit) {
  TempStore s;
  const auto batch = s->begin();
  etcdserverpb::PutResponse put;
  ASSERT_TRUE(batch->put(put_request("a", "1"), &put).ok());
  ASSERT_TRUE(batch->put(put_request("a", "2"), &put).ok());
  EXPECT_EQ(put.header().revision(), 3);
  etcdserverpb::DeleteRangeRequest all = delete_request("a", "z");
  all.set_prev_kv(true);
  etcdserverpb::DeleteRangeResponse deleted;
  ASSERT_TRUE(batch->delete_range(all, &deleted).ok());
  ASSERT_EQ(deleted.prev_kvs_size(), 1);
  EXPECT_EQ(deleted.prev_kvs(0).version(), 2);
  ASSERT_TRUE(batch->put(put_request("b", "3"), &put).ok());
  EXPECT_EQ(s.range("a", "z").count(), 0);
  EXPECT_EQ(s->revision(), Revision(1));
  ASSERT_TRUE(batch->commit(7, 3).ok());
  EXPECT_EQ(s->applied_index(), 7u);
  EXPECT_EQ(s->applied_term(), 3u);
  EXPECT_EQ(s.list("a", "z"), "b=3");
  EXPECT_EQ(s.list("a", "z", 3), "a=2");
  EXPECT_EQ(s.list("a", "z", 2), "a=1");
}

TEST(Store, Future_and_compacted_revisions_are_refused) {
  TempStore s;
  s.put("a", "1");
  s.put("a", "2");
  s.put("a", "3");
  EXPECT_EQ(s.range(range_request("a", "", 5)).status(),
            Status(Code::kOutOfRange, "etcdserver: mvcc: required revision is a future revision"));
  ASSERT_TRUE(s.compact(3).ok());
  EXPECT_EQ(s.range(range_request("a", "", 2)).status(),
            Status(Code::kOutOfRange, "etcdserver: mvcc: required revision has been compacted"));
  EXPECT_EQ(s.get("a", 3), "2");
  EXPECT_EQ(s.compact(3).code(), Code::kOutOfRange);
  EXPECT_EQ(s.compact(9).text(), "etcdserver: mvcc: required revision is a future revision");
}

TEST(Store, Everything_survives_a_restart) {
  TempStore s;
  s.put("a", "1");
  s.put("b", "2");
  s.del("a");
  const uint64_t applied = s->applied_index();
  ASSERT_TRUE(s.compact(2).ok());
  s.reopen();
  EXPECT_EQ(s->applied_index(), applied + 1);
  EXPECT_EQ(s->revision(), Revision(4));
  EXPECT_EQ(s->stats().compact_revision, 2);
  EXPECT_EQ(s.list("a", "z"), "b=2");
  EXPECT_EQ(s.list("a", "z", 3), "a=1 b=2");
}

TEST(Store, Durable_index_is_what_has_been_flushed) {
  TempStore s;
  s.put("a", "1");
  EXPECT_EQ(s->durable_index(), 0u);
  ASSERT_TRUE(s->flush().ok());
  EXPECT_EQ(s->durable_index(), 1u);
  s.put("a", "2");
  EXPECT_EQ(s->durable_index(), 1u);
  s.reopen();
  EXPECT_EQ(s->durable_index(), 2u);
}

TEST(Store, Records_are_part_of_the_batch) {
  TempStore s;
  auto batch = s->begin();
  batch->put_record("members/1", "one");
  batch->put_record("members/2", "two");
  batch->put_record("other", "x");
  ASSERT_TRUE(batch->commit(1, 1).ok());
  batch = s->begin();
  batch->delete_record("members/1");
  ASSERT_TRUE(batch->commit(2, 1).ok());
  s.reopen();
  EXPECT_EQ(s->record("members/1"), std::nullopt);
  EXPECT_EQ(s->record("members/2"), "two");
  EXPECT_THAT(s->records("members/"), testing::ElementsAre(testing::Pair("members/2", "two")));
  EXPECT_EQ(s->revision(), Revision(1));
}

TEST(Store, Second_opener_is_refused_as_unavailable) {
  TempStore s;
  StoreOptions options;
  options.path = s.path();
  EXPECT_EQ(Store::open(options).status().code(), Code::kUnavailable);
}

TEST(Store, Txn_is_one_revision_and_reads_its_own_writes) {
  TempStore s;
  s.put("a", "1");
  etcdserverpb::TxnRequest t;
  auto* c = t.add_compare();
  c->set_key("a");
  c->set_target(etcdserverpb::Compare::VALUE);
  c->set_value("1");
  *t.add_success()->mutable_request_put() = put_request("b", "2");
  *t.add_success()->mutable_request_range() = range_request("a", "z");
  *t.add_success()->mutable_request_delete_range() = delete_request("a");
  *t.add_failure()->mutable_request_put() = put_request("c", "3");
  const auto r = s.txn(t).value();
  EXPECT_TRUE(r.succeeded());
  EXPECT_EQ(r.header().revision(), 3);
  EXPECT_EQ(r.responses(1).response_range().count(), 2);
  EXPECT_EQ(r.responses(1).response_range().header().revision(), 3);
  EXPECT_EQ(s.list("a", "z"), "b=2");
  EXPECT_EQ(s.txn(t).value().succeeded(), false);
  EXPECT_EQ(s.list("a", "z"), "b=2 c=3");
}

}  // namespace
}  // namespace kv::store
