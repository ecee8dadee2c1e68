// Reads at old revisions cost a seek and a few steps, however many versions came later; and waypoints, which see to
// that, are hints: with none or with wrong ones the answers are the same.
#include "store/waypoints.h"

#include <rocksdb/perf_context.h>
#include <rocksdb/perf_level.h>

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "random_requests.h"
#include "store/database.h"
#include "store/history.h"
#include "temp_store.h"

namespace kv::store {
namespace {

using Rows = std::set<std::string>;

constexpr int kKeys = 12;

std::string key(int i) { return "k" + std::to_string(10 + i); }

// `rounds` changes of each key, in batches of a few. One in ten is a delete.
void change_keys(TempStore& store, int rounds) {
  Random random(1);
  for (int i = 0; i < rounds; ++i) {
    for (int k = 0; k < kKeys; ++k) {
      if (i > 0 && random.one_in(10)) {
        store.del(key(k));
      } else {
        store.put(key(k), std::to_string(i));
      }
    }
  }
}

StoreOptions options_of(TempStore& store) {
  StoreOptions options;
  options.path = store.path();
  return options;
}

Rows rows(const Database& database) {
  Rows out;
  const std::unique_ptr<rocksdb::Iterator> it(database->NewIterator(rocksdb::ReadOptions(), database.waypoints()));
  for (it->SeekToFirst(); it->Valid(); it->Next()) out.insert(it->key().ToString());
  return out;
}

Rows rows(TempStore& store) {
  store.close();
  Rows out = rows(*Database::open(options_of(store)).value());
  store.open();
  return out;
}

// Puts other rows in the place of those that are there.
void replace_rows(TempStore& store, const Rows& with) {
  store.close();
  {
    const auto database = Database::open(options_of(store)).value();
    rocksdb::WriteBatch batch;
    for (const std::string& row : rows(*database)) batch.Delete(database->waypoints(), row);
    for (const std::string& row : with) batch.Put(database->waypoints(), row, "");
    ASSERT_TRUE(database->write(&batch).ok());
  }
  store.open();
}

// So that the same reads find the same files.
void tidy(TempStore& store) {
  std::atomic<bool> cancel{false};
  ASSERT_TRUE(store->flush().ok());
  ASSERT_TRUE(store->defragment(cancel).ok());
  store.reopen();
}

// Keys that RocksDB compares while everything is read at the revision: the work, whatever the machine does meanwhile.
uint64_t work_of_reading(TempStore& store, int64_t revision) {
  rocksdb::SetPerfLevel(rocksdb::PerfLevel::kEnableCount);
  rocksdb::get_perf_context()->Reset();
  store.range(kZero, kZero, revision);
  const uint64_t work = rocksdb::get_perf_context()->user_key_comparison_count;
  rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
  return work;
}

TEST(Waypoints, Reading_the_past_is_as_much_work_when_ten_times_as_much_came_later) {
  const auto mean_work = [](int rounds) {
    TempStore store;
    change_keys(store, rounds);
    tidy(store);
    uint64_t work = 0;
    for (int64_t at = 500; at < 600; ++at) work += work_of_reading(store, at);
    return work / 100;
  };
  const uint64_t few = mean_work(200), many = mean_work(2000);
  RecordProperty("few", static_cast<int>(few));
  RecordProperty("many", static_cast<int>(many));
  // A search among more is a little longer.
  EXPECT_LT(many, 2 * few);
}

TEST(Waypoints, A_state_without_them_gets_them_from_its_readers) {
  TempStore store;
  change_keys(store, 1000);
  const Rows good = rows(store);
  const std::string before = store.list(kZero, kZero, 200);
  replace_rows(store, {});
  tidy(store);
  const uint64_t first = work_of_reading(store, 200);
  EXPECT_EQ(store.list(kZero, kZero, 200), before);
  const uint64_t second = work_of_reading(store, 200);
  EXPECT_LT(second, first / 10);
  // All but those that a read meets before it seeks one.
  const Rows laid = rows(store);
  EXPECT_GT(laid.size(), good.size() / 2);
  for (const std::string& row : laid) EXPECT_TRUE(good.contains(row));
}

TEST(Waypoints, Wrong_ones_make_no_wrong_answer) {
  TempStore store;
  change_keys(store, 100);
  const int64_t last = store->revision().value();
  std::map<int64_t, std::string> before;
  for (int64_t at = 1; at <= last; ++at) before[at] = store.list(kZero, kZero, at);
  Rows wrong;
  Random random(2);
  for (int i = 0; i < 3000; ++i) {
    // Changes of other keys, and revisions that nothing has.
    const auto main = static_cast<int64_t>(2 + random.below(static_cast<uint64_t>(last) + 10));
    wrong.insert(
        waypoint_key(key(static_cast<int>(random.below(kKeys))), {main, static_cast<uint32_t>(random.below(2))}));
  }
  wrong.insert("");
  wrong.insert(std::string(8, 'x'));
  wrong.insert(waypoint_key(key(0), {500, 0}) + "x");
  replace_rows(store, wrong);
  for (int64_t at = 1; at <= last; ++at) ASSERT_EQ(store.list(kZero, kZero, at), before[at]) << "at " << at;
}

// Random commands, transactions that fail among them, and batches that are never committed.
TEST(Waypoints, Belong_to_changes_of_history_and_to_all_that_should_have_one) {
  StoreOptions options = TempStore::small();
  TempStore store(options);
  RandomRequests requests(3, 2, 1);
  uint64_t index = 0;
  for (int i = 0; i < 1500; ++i) {
    const auto batch = store->begin();
    for (uint64_t n = 1 + requests.random().below(4); n > 0; --n) {
      etcdserverpb::TxnResponse response;
      (void)batch->txn(requests.txn(batch->revision(), 0), &response);
    }
    if (!requests.random().one_in(20)) {
      ASSERT_TRUE(batch->commit(++index, 1).ok());
    }
  }
  store.close();
  const auto database = Database::open(options_of(store)).value();
  Rows expected;
  ASSERT_TRUE(scan_history(*database, nullptr, nullptr, 0, INT64_MAX, [&](const Change& change, std::string_view) {
                const Record& r = change.record;
                if (!r.prev.none() && has_waypoint(r.mod)) expected.insert(waypoint_key(change.key, r.mod));
                return true;
              }).ok());
  EXPECT_GT(expected.size(), 100u);
  EXPECT_EQ(rows(*database), expected);
}

TEST(Waypoints, Go_with_the_history_that_is_compacted) {
  TempStore store;
  change_keys(store, 300);
  const int64_t last = store->revision().value();
  const auto before = rows(store);
  const int64_t revision = last / 2;
  ASSERT_TRUE(store.compact(revision).ok());
  ASSERT_TRUE(store.wait_compacted(revision).ok());
  tidy(store);
  Rows expected;
  for (const std::string& row : before) {
    Rev rev;
    for (int k = 0; k < kKeys; ++k) {
      if (decode_waypoint_key(row, key(k), &rev) && rev.main >= revision) expected.insert(row);
    }
  }
  EXPECT_LT(expected.size(), before.size());
  EXPECT_EQ(rows(store), expected);
}

TEST(Waypoints, Stand_at_one_change_in_sixteen_whatever_the_order_of_writes) {
  for (const int64_t stride : {1, 2, 3, 12, 16, 64, 1000, 4096}) {
    int n = 0;
    for (int64_t i = 1; i <= 16000; ++i) n += has_waypoint({i * stride, 0}) ? 1 : 0;
    EXPECT_NEAR(n, 1000, 150) << "every " << stride;
  }
  int n = 0;
  for (uint32_t sub = 0; sub < 16000; ++sub) n += has_waypoint({7, sub}) ? 1 : 0;
  EXPECT_NEAR(n, 1000, 150);
}

}  // namespace
}  // namespace kv::store
