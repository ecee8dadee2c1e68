#include <gtest/gtest.h>

#include "random_requests.h"
#include "store/database.h"
#include "temp_store.h"

namespace kv::store {
namespace {

// The same commands, batched and compacted at different times, as members of a cluster do.
TEST(Hash, Does_not_depend_on_batches_nor_on_how_far_the_compaction_is) {
  RandomRequests requests(5);
  TempStore one, two;
  uint64_t index_one = 0, index_two = 0;
  std::unique_ptr<ApplyBatch> batch_two = two->begin();
  for (int i = 0; i < 400; ++i) {
    const auto batch_one = one->begin();
    const auto both = [&](auto command) {
      command(*batch_one);
      command(*batch_two);
    };
    switch (requests.random().below(4)) {
      case 0: {
        const auto r = requests.delete_range();
        both([&](ApplyBatch& b) {
          etcdserverpb::DeleteRangeResponse response;
          (void)b.delete_range(r, &response);
        });
        break;
      }
      case 1: {
        const auto r = requests.txn(one->revision().value(), 1);
        both([&](ApplyBatch& b) {
          etcdserverpb::TxnResponse response;
          (void)b.txn(r, &response);
        });
        break;
      }
      default: {
        const auto r = requests.put();
        both([&](ApplyBatch& b) {
          etcdserverpb::PutResponse response;
          (void)b.put(r, &response);
        });
      }
    }
    const bool compact = i % 100 == 99;
    if (compact) {
      etcdserverpb::CompactionRequest r;
      r.set_revision(one->revision().value() - 20);
      both([&](ApplyBatch& b) {
        etcdserverpb::CompactionResponse response;
        ASSERT_TRUE(b.compact(r, &response).ok());
      });
    }
    ASSERT_TRUE(batch_one->commit(++index_one, 1).ok());
    if (!compact && !requests.random().one_in(7)) continue;
    ASSERT_TRUE(batch_two->commit(++index_two, 1).ok());
    batch_two.reset();
    // Now both have the same; `one` is still compacting, `two` has finished.
    if (compact) {
      ASSERT_TRUE(two.wait_compacted(one->stats().compact_revision).ok());
    }
    if (requests.random().one_in(5)) two.reopen();
    const int64_t revision = one->revision().value(), oldest = std::max<int64_t>(one->stats().compact_revision, 1);
    for (const int64_t at : {int64_t{0}, revision, revision - 1, oldest}) {
      if (at != 0 && (at < oldest || at > revision)) continue;
      const auto a = one->hash_kv(at), b = two->hash_kv(at);
      ASSERT_TRUE(a.ok() && b.ok());
      ASSERT_EQ(a->hash, b->hash) << "at " << at << " of " << revision;
      ASSERT_EQ(a->hash_revision, at == 0 ? revision : at);
      ASSERT_EQ(a->compact_revision, one->stats().compact_revision);
    }
    batch_two = two->begin();
  }
  batch_two.reset();
}

TEST(Hash, Differs_when_anything_that_a_reader_could_see_differs) {
  const auto hash_of = [](std::initializer_list<std::pair<const char*, const char*>> puts) {
    TempStore s;
    for (const auto& [key, value] : puts) s.put(key, value);
    return s->hash_kv(0).value().hash;
  };
  const uint32_t h = hash_of({{"a", "1"}, {"b", "2"}});
  EXPECT_EQ(h, hash_of({{"a", "1"}, {"b", "2"}}));
  EXPECT_NE(h, hash_of({{"b", "2"}, {"a", "1"}}));
  EXPECT_NE(h, hash_of({{"a", "1"}, {"b", "3"}}));
  EXPECT_NE(h, hash_of({{"a", "1"}}));
  EXPECT_NE(h, hash_of({{"a1", ""}, {"b", "2"}}));
  EXPECT_NE(h, hash_of({{"a", "0"}, {"a", "1"}, {"b", "2"}}));
}

TEST(Hash, Sees_a_value_that_changed_in_head_alone) {
  TempStore s;
  s.put("a", "1");
  const uint32_t before = s->hash_kv(0).value().hash;
  s.close();
  {
    StoreOptions options;
    options.path = s.path();
    const auto database = Database::open(options).value();
    std::string value;
    ASSERT_TRUE((*database)->Get(rocksdb::ReadOptions(), database->head(), "a", &value).ok());
    value.back() = '2';
    rocksdb::WriteBatch batch;
    batch.Put(database->head(), "a", value);
    ASSERT_TRUE(database->write(&batch).ok());
  }
  s.open();
  EXPECT_NE(s->hash_kv(0).value().hash, before);
}

TEST(Hash, Refuses_compacted_and_future_revisions) {
  TempStore s;
  for (int i = 0; i < 4; ++i) s.put("a", "1");
  ASSERT_TRUE(s.compact(4).ok());
  EXPECT_EQ(s->hash_kv(3).status().text(), "etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(s->hash_kv(6).status().text(), "etcdserver: mvcc: required revision is a future revision");
  EXPECT_TRUE(s->hash_kv(4).ok());
}

}  // namespace
}  // namespace kv::store
