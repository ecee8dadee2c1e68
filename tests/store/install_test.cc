#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "store/change_source.h"
#include "store/store.h"
#include "temp_store.h"

namespace kv::store {
namespace {

namespace fs = std::filesystem;

Status apply_put(Store& store, uint64_t index, const std::string& key, const std::string& value) {
  const auto batch = store.begin();
  etcdserverpb::PutResponse response;
  KV_RETURN_IF_ERROR(batch->put(put_request(key, value), &response));
  return batch->commit(index, 1);
}

// Two members of one cluster: `ahead` has applied what `behind` has, and more.
class Install : public testing::Test {
 protected:
  Install() {
    for (int i = 0; i < 20; ++i) both("key" + std::to_string(i % 7), "early" + std::to_string(i));
  }

  void both(const std::string& key, const std::string& value) {
    ahead.put(key, value);
    ASSERT_TRUE(apply_put(*behind, ++index_, key, value).ok());
  }

  // A copy of `ahead`, opened by `behind`.
  std::unique_ptr<NextState> next() {
    path = directory.path() + "/copy" + std::to_string(++copies_);
    EXPECT_TRUE(ahead->checkpoint(path).ok());
    auto opened = behind->open_next(path);
    EXPECT_TRUE(opened.ok()) << opened.status().to_string();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  TempDir directory;
  TempStore ahead;
  TempStore behind;
  std::string path;

 private:
  uint64_t index_ = 0;
  int copies_ = 0;
};

TEST_F(Install, The_new_state_is_served_and_applied_to) {
  for (int i = 0; i < 30; ++i) ahead.put("key" + std::to_string(i % 9), "late" + std::to_string(i));
  const uint64_t index = ahead->applied_index();
  behind->install(next());
  EXPECT_EQ(behind->applied_index(), index);
  EXPECT_EQ(behind->revision(), ahead->revision());
  EXPECT_EQ(behind.get("key8"), "late26");
  EXPECT_EQ(behind->hash_kv(0)->hash, ahead->hash_kv(0)->hash);
  EXPECT_EQ(behind->stats().keys, 9u);
  EXPECT_EQ(behind->durable_index(), index);
  ahead.put("more", "1");
  ASSERT_TRUE(apply_put(*behind, index + 1, "more", "1").ok());
  EXPECT_EQ(behind->hash_kv(0)->hash, ahead->hash_kv(0)->hash);
  EXPECT_EQ(behind.list("more", ""), "more=1");
}

TEST_F(Install, What_is_applied_afterwards_is_in_the_directory_of_the_new_state) {
  ahead.put("late", "1");
  const uint64_t index = ahead->applied_index();
  behind->install(next());
  ASSERT_TRUE(apply_put(*behind, index + 1, "last", "2").ok());
  behind.close();
  StoreOptions options = TempStore::small();
  options.path = path;
  const auto reopened = Store::open(options);
  ASSERT_TRUE(reopened.ok()) << reopened.status().to_string();
  EXPECT_EQ((*reopened)->applied_index(), index + 1);
}

TEST_F(Install, A_cursor_reads_on_in_the_state_that_it_was_opened_in) {
  auto cursor = behind->open_range(range_request("key", "kez")).value();
  etcdserverpb::RangeResponse piece;
  ASSERT_TRUE(cursor->next(2, 1 << 20, &piece).ok());
  const std::string old_path = behind.path();
  ahead.put("key0", "late");
  behind->install(next());
  EXPECT_TRUE(fs::exists(old_path)) << "somebody still reads it";
  int keys = piece.kvs_size();
  while (!cursor->done()) {
    ASSERT_TRUE(cursor->next(2, 1 << 20, &piece).ok());
    keys += piece.kvs_size();
    for (const auto& kv : piece.kvs()) EXPECT_THAT(kv.value(), testing::StartsWith("early"));
  }
  EXPECT_EQ(keys, 7);
  EXPECT_EQ(piece.header().revision(), 21);
  cursor.reset();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (fs::exists(old_path) && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_FALSE(fs::exists(old_path)) << "nobody reads it any more";
}

TEST_F(Install, Readers_on_other_threads_see_one_state_or_the_other) {
  for (int i = 0; i < 7; ++i) ahead.put("key" + std::to_string(i), "late");
  std::atomic<bool> stop{false};
  std::atomic<int> reads{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      int64_t revision = 0;
      while (!stop) {
        etcdserverpb::RangeResponse response;
        ASSERT_TRUE(behind->range(range_request("key", "kez"), &response).ok());
        ASSERT_EQ(response.kvs_size(), 7);
        const bool late = response.kvs(0).value() == "late";
        for (const auto& kv : response.kvs()) EXPECT_EQ(kv.value() == "late", late);
        EXPECT_GE(response.header().revision(), revision);
        revision = response.header().revision();
        ++reads;
      }
    });
  }
  while (reads < 100) std::this_thread::yield();
  behind->install(next());
  const int then = reads;
  while (reads < then + 100) std::this_thread::yield();
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(behind.get("key3"), "late");
}

TEST_F(Install, Changes_go_on_without_a_gap_and_name_what_they_replaced) {
  const int64_t seen = behind->revision().value();
  for (int i = 0; i < 50; ++i) ahead.put("key" + std::to_string(i % 7), "late" + std::to_string(i));
  Predecessors before(behind->changes());
  behind->install(next());
  std::vector<int64_t> revisions;
  const Status read = behind->changes().read({seen + 1, 0}, behind->changes().revision(), [&](const Change& change) {
    revisions.push_back(change.record.mod.main);
    Record prev;
    // Opened in the old state, asked about changes of the new one.
    const auto found = before.find(change, &prev);
    EXPECT_TRUE(found.ok() && *found) << change.record.mod.main;
    return true;
  });
  ASSERT_TRUE(read.ok()) << read.to_string();
  ASSERT_EQ(revisions.size(), 50u);
  for (size_t i = 0; i < revisions.size(); ++i) EXPECT_EQ(revisions[i], seen + 1 + static_cast<int64_t>(i));
}

TEST_F(Install, Leases_and_records_are_those_of_the_new_state) {
  const auto batch = ahead->begin();
  etcdserverpb::LeaseGrantRequest grant;
  grant.set_id(7);
  grant.set_ttl(60);
  etcdserverpb::LeaseGrantResponse granted;
  ASSERT_TRUE(batch->lease_grant(grant, &granted).ok());
  batch->put_record("member/1", "one");
  ASSERT_TRUE(batch->commit(ahead->applied_index() + 1, 1).ok());
  EXPECT_TRUE(behind->leases().empty());
  behind->install(next());
  ASSERT_EQ(behind->leases().size(), 1u);
  EXPECT_EQ(behind->record("member/1"), "one");
}

TEST_F(Install, Who_waits_for_a_compaction_waits_for_that_of_the_new_state) {
  std::promise<Status> compacted;
  behind->wait_compacted(25, [&](Status s) { compacted.set_value(std::move(s)); });
  for (int i = 0; i < 30; ++i) ahead.put("key" + std::to_string(i % 7), "late");
  ASSERT_TRUE(ahead.compact(25).ok());
  behind->install(next());
  auto future = compacted.get_future();
  ASSERT_EQ(future.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_TRUE(future.get().ok());
}

TEST_F(Install, A_state_that_was_opened_and_not_installed_stays_on_disk) {
  { const auto opened = next(); }
  EXPECT_TRUE(fs::exists(path));
  EXPECT_EQ(Store::inspect(path)->applied_index, ahead->applied_index());
}

TEST_F(Install, Twice_in_a_row_leaves_only_the_last) {
  ahead.put("a", "1");
  behind->install(next());
  const std::string first = path;
  ahead.put("a", "2");
  behind->install(next());
  EXPECT_EQ(behind.get("a"), "2");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (fs::exists(first) && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_FALSE(fs::exists(first));
}

// ---- Housekeeping ----

TEST(Housekeeping, Who_asks_after_a_compaction_that_has_failed_is_told_so) {
  TempStore s;
  for (int i = 0; i < 400; ++i) s.put("key" + std::to_string(i % 40), std::string(200, 'v') + std::to_string(i));
  ASSERT_TRUE(s->flush().ok());
  for (const auto& entry : fs::directory_iterator(s.path())) {
    if (entry.path().extension() == ".sst") fs::resize_file(entry.path(), entry.file_size() / 2);
  }
  ASSERT_TRUE(s.compact(350).ok());
  EXPECT_FALSE(s.wait_compacted(350).ok());
  EXPECT_FALSE(s.wait_compacted(350).ok()) << "the second who asks must not wait for ever";
  EXPECT_FALSE(s.wait_compacted(100).ok());
}

}  // namespace
}  // namespace kv::store
