#include "store/compaction.h"

#include <map>
#include <set>

#include "model.h"
#include "random_requests.h"
#include "store/history.h"
#include "temp_store.h"

namespace kv::store {
namespace {

// What is really in the files, which no reader is told.
struct Contents {
  std::map<std::string, Rev> tombstones;  // in head
  std::set<std::string> live;             // in head
  std::map<Rev, std::string> history;     // revision -> key, "-key" for a tombstone
  size_t history_records = 0;

  static Contents of(const std::string& path) {
    StoreOptions options;
    options.path = path;
    const auto database = Database::open(options).value();
    Contents c;
    std::unique_ptr<rocksdb::Iterator> it((*database)->NewIterator(rocksdb::ReadOptions(), database->head()));
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      Record r;
      EXPECT_TRUE(decode_record(view(it->value()), &r));
      if (r.tombstone) {
        c.tombstones[it->key().ToString()] = r.mod;
      } else {
        c.live.insert(it->key().ToString());
      }
    }
    it.reset((*database)->NewIterator(rocksdb::ReadOptions(), database->history()));
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      ++c.history_records;
      Rev first;
      HistoryReader reader;
      EXPECT_TRUE(decode_history_key(view(it->key()), &first) && reader.open(first, view(it->value())));
      for (size_t i = 0; i < reader.count(); ++i) {
        Change change;
        EXPECT_TRUE(reader.change(i, &change));
        const bool added =
            c.history.emplace(change.record.mod, (change.record.tombstone ? "-" : "") + std::string(change.key)).second;
        EXPECT_TRUE(added) << "revision " << change.record.mod.main << " is there twice";
      }
    }
    return c;
  }

  // "2.0=a 3.0=-b"
  std::string history_text() const {
    std::string out;
    for (const auto& [rev, key] : history) {
      out += (out.empty() ? "" : " ") + std::to_string(rev.main) + "." + std::to_string(rev.sub) + "=" + key;
    }
    return out;
  }
};

Contents contents(TempStore& store) {
  store.close();
  Contents c = Contents::of(store.path());
  store.open();
  return c;
}

TEST(Compaction, Keeps_the_newest_of_each_key_below_and_everything_from_the_revision_on) {
  TempStore s;
  s.put("a", "2");
  s.put("a", "3");
  s.put("b", "4");
  s.put("a", "5");
  s.put("a", "6");
  ASSERT_TRUE(s.compact(4).ok());
  ASSERT_TRUE(s.wait_compacted(4).ok());
  EXPECT_EQ(contents(s).history_text(), "3.0=a 4.0=b 5.0=a 6.0=a");
  EXPECT_EQ(s.list("a", "z", 4), "a=3 b=4");
  EXPECT_EQ(s.list("a", "z", 5), "a=5 b=4");
}

// A watch that starts at the compact revision must find what happened there (etcd issues 18089, 19179).
TEST(Compaction, Keeps_the_delete_that_is_the_compact_revision_until_the_next) {
  TempStore s;
  s.put("a", "2");
  s.put("b", "3");
  s.del("a");
  s.put("b", "5");
  ASSERT_TRUE(s.compact(4).ok());
  ASSERT_TRUE(s.wait_compacted(4).ok());
  Contents c = contents(s);
  EXPECT_EQ(c.history_text(), "3.0=b 4.0=-a 5.0=b");
  EXPECT_TRUE(c.tombstones.empty()) << "head needs it no more";
  EXPECT_EQ(s.list("a", "z", 4), "b=3");
  ASSERT_TRUE(s.compact(5).ok());
  ASSERT_TRUE(s.wait_compacted(5).ok());
  EXPECT_EQ(contents(s).history_text(), "5.0=b");
}

TEST(Compaction, One_below_the_delete_keeps_the_value_before_it) {
  TempStore s;
  s.put("a", "2");
  s.put("a", "3");
  s.del("a");
  ASSERT_TRUE(s.compact(3).ok());
  ASSERT_TRUE(s.wait_compacted(3).ok());
  const Contents c = contents(s);
  EXPECT_EQ(c.history_text(), "3.0=a 4.0=-a");
  EXPECT_EQ(c.tombstones.size(), 1u);
  EXPECT_EQ(s.get("a", 3), "3");
  EXPECT_EQ(s.get("a", 4), "(none)");
}

TEST(Compaction, Of_the_present_revision_leaves_nothing_of_deleted_keys) {
  TempStore s;
  for (int i = 0; i < 300; ++i) s.put("k" + std::to_string(i), "v");
  s.del("k", "l");
  s.put("z", "last");
  ASSERT_TRUE(s.compact(s->revision().value()).ok());
  ASSERT_TRUE(s.wait_compacted(s->revision().value()).ok());
  const Contents c = contents(s);
  EXPECT_EQ(c.history.size(), 1u);
  EXPECT_EQ(c.live, std::set<std::string>{"z"});
  EXPECT_TRUE(c.tombstones.empty());
}

TEST(Compaction, Key_put_again_after_its_tombstone_went_is_as_new) {
  TempStore s;
  s.put("a", "2");
  s.del("a");
  s.put("b", "4");
  ASSERT_TRUE(s.compact(4).ok());
  ASSERT_TRUE(s.wait_compacted(4).ok());
  s.put("a", "5");
  EXPECT_EQ(s.range("a").kvs(0).version(), 1);
  EXPECT_EQ(s.range("a").kvs(0).create_revision(), 5);
  EXPECT_EQ(s.get("a", 4), "(none)");
  s.reopen();
  s.put("a", "6");
  EXPECT_EQ(s.range("a").kvs(0).version(), 2);
  EXPECT_EQ(s.get("a", 4), "(none)");
  EXPECT_EQ(s.get("a", 5), "5");
}

TEST(Compaction, Record_of_a_batch_that_reaches_over_the_revision_is_cut_in_two) {
  TempStore s;
  const auto batch = s->begin();
  etcdserverpb::PutResponse r;
  for (int i = 2; i <= 9; ++i) ASSERT_TRUE(batch->put(put_request(i % 2 ? "odd" : "even", std::to_string(i)), &r).ok());
  ASSERT_TRUE(batch->commit(1, 1).ok());
  ASSERT_TRUE(s.compact(6).ok());
  ASSERT_TRUE(s.wait_compacted(6).ok());
  const Contents c = contents(s);
  EXPECT_EQ(c.history_text(), "5.0=odd 6.0=even 7.0=odd 8.0=even 9.0=odd");
  EXPECT_EQ(c.history_records, 2u);
  for (int64_t at = 6; at <= 9; ++at) {
    EXPECT_EQ(s.get("even", at), std::to_string(at / 2 * 2));
    EXPECT_EQ(s.get("odd", at), std::to_string((at - 1) / 2 * 2 + 1));
  }
}

TEST(Compaction, Survives_a_restart_and_revisions_never_go_back) {
  // etcd issue 17780: the last revision was a delete, and was compacted.
  TempStore s;
  s.put("a", "2");
  s.del("a");
  ASSERT_TRUE(s.compact(3).ok());
  ASSERT_TRUE(s.wait_compacted(3).ok());
  s.reopen();
  EXPECT_EQ(s->revision(), Revision(3));
  EXPECT_EQ(s->stats().compact_revision, 3);
  EXPECT_EQ(s.range(range_request("a", "", 2)).status().code(), Code::kOutOfRange);
  EXPECT_EQ(s.put("b", "4"), 4);
}

TEST(Compaction, Who_waits_when_the_store_closes_is_told) {
  TempStore s;
  s.put("a", "2");
  Status answer;
  s->wait_compacted(2, [&](Status status) { answer = std::move(status); });
  EXPECT_TRUE(answer.ok());
  s.close();
  EXPECT_EQ(answer, Status(Code::kUnavailable, "etcdserver: server stopped"));
  s.open();
}

// The same keys are deleted, put again and compacted all the time, while the background removes their tombstones: no
// put may be lost to a removal that was decided before it.
TEST(Compaction, Removing_tombstones_never_takes_a_put_with_it) {
  TempStore s;
  constexpr int kKeys = 40;
  for (int round = 0; round < 150; ++round) {
    std::string expected;
    for (int i = 0; i < kKeys; ++i) s.del("k" + std::to_string(i));
    s.put("z", "x");
    ASSERT_TRUE(s.compact(s->revision().value()).ok());
    for (int i = 0; i < kKeys; ++i) s.put("k" + std::to_string(i), std::to_string(round));
    for (int i = 0; i < kKeys; ++i) ASSERT_EQ(s.get("k" + std::to_string(i)), std::to_string(round)) << i;
  }
}

// ---- cut off anywhere ----

class InterruptedCompaction : public testing::TestWithParam<int> {};

// A history of all kinds, compacted twice before; then a third compaction, stopped after its nth write and taken up
// again by a restart, for every n. Readers are asked after the stop and after the end, and in the end the files hold
// what they would have held without the stop.
TEST_P(InterruptedCompaction, Goes_on_where_it_was_and_readers_never_notice) {
  const auto build = [](TempStore& s, Model& model) {
    RandomRequests requests(7);
    uint64_t index = 0;
    for (int i = 0; i < 90; ++i) {
      const auto batch = s->begin();
      for (uint64_t n = 1 + requests.random().below(5); n > 0; --n) {
        if (requests.random().one_in(3)) {
          etcdserverpb::DeleteRangeResponse r;
          const auto request = requests.delete_range();
          KV_CHECK(model.delete_range(request, &r).ok() && batch->delete_range(request, &r).ok(), "delete");
        } else {
          etcdserverpb::PutResponse r;
          const auto request = put_request(requests.key(), requests.value());
          KV_CHECK(model.put(request, &r).ok() && batch->put(request, &r).ok(), "put");
        }
      }
      if (i == 25 || i == 50) {
        etcdserverpb::CompactionRequest request;
        request.set_revision(model.revision() - 10);
        etcdserverpb::CompactionResponse r;
        KV_CHECK(model.compact(request, &r).ok() && batch->compact(request, &r).ok(), "compact");
      }
      KV_CHECK(batch->commit(++index, 1).ok(), "commit");
      if (i == 35 || i == 50) KV_CHECK(s.wait_compacted(model.compact_revision()).ok(), "wait");
    }
  };
  const auto compact_mark = [](TempStore& s, int64_t revision) {
    StoreOptions options;
    options.path = s.path();
    auto database = Database::open(options).value();
    rocksdb::WriteBatch mark;
    mark.Put(database->meta(), slice(kMetaCompact), encode_int64(revision));
    KV_CHECK(database->write(&mark).ok(), "mark");
    return database;
  };
  const auto expect_reads = [](TempStore& s, const Model& model, int64_t compact_revision) {
    for (int64_t at = compact_revision; at <= model.revision(); ++at) {
      etcdserverpb::RangeResponse expected;
      ASSERT_TRUE(model.range(range_request(kZero, kZero, at), &expected).ok());
      ASSERT_EQ(s.range(kZero, kZero, at).DebugString(), expected.DebugString()) << "at " << at;
    }
  };

  TempStore s;
  Model model;
  build(s, model);
  const int64_t target = model.revision() - GetParam();
  s.close();

  // Once through without a stop, on a copy, to know what is to come out.
  const std::string copy = s.path() + ".copy";
  std::filesystem::copy(s.path(), copy, std::filesystem::copy_options::recursive);
  int writes = 0;
  const auto run = [&](const Database& database, int stop_after) {
    HeadGuard guard;
    Compaction compaction(database, guard);
    compaction.limits = {20, 3, 1000};
    KV_CHECK(compaction.load().ok(), "load");
    writes = 0;
    const auto result = compaction.run(target, {[&] { return ++writes != stop_after; }, [](int64_t) {}});
    KV_CHECK(result.ok(), "run");
    return *result;
  };
  Contents expected;
  {
    auto database = compact_mark(s, target);
    ASSERT_TRUE(run(*database, -1));
    database.reset();
    expected = Contents::of(s.path());
  }
  const int all_writes = writes;
  ASSERT_GT(all_writes, 20);
  for (const auto& [rev, key] : expected.history) {
    EXPECT_TRUE(rev.main >= target || key[0] != '-') << "a tombstone survived at " << rev.main;
  }
  for (const auto& [key, rev] : expected.tombstones) EXPECT_GT(rev.main, target) << key;

  for (int stop_after = 1; stop_after <= all_writes; ++stop_after) {
    SCOPED_TRACE("stopped after write " + std::to_string(stop_after));
    std::filesystem::remove_all(s.path());
    std::filesystem::copy(copy, s.path(), std::filesystem::copy_options::recursive);
    {
      auto database = compact_mark(s, target);
      run(*database, stop_after);
    }
    // The housekeeper takes it up at once; readers ask meanwhile.
    s.open();
    expect_reads(s, model, target);
    if (testing::Test::HasFatalFailure()) return;
    ASSERT_TRUE(s.wait_compacted(target).ok());
    expect_reads(s, model, target);
    if (testing::Test::HasFatalFailure()) return;
    s.close();
    const Contents c = Contents::of(s.path());
    ASSERT_EQ(c.history_text(), expected.history_text());
    ASSERT_EQ(c.tombstones, expected.tombstones);
    ASSERT_EQ(c.live, expected.live);
  }
  std::filesystem::remove_all(copy);
}

INSTANTIATE_TEST_SUITE_P(BelowPresent, InterruptedCompaction, testing::Values(0, 17));

}  // namespace
}  // namespace kv::store
