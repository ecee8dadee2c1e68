// What is done to a state as a whole: a restore's rewriting, and a defragmentation.
#include "store/rewrite.h"

#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>

#include "temp_store.h"

namespace kv::store {
namespace {

using testing::HasSubstr;

class RewriteTest : public testing::Test {
 protected:
  // Three keys, one of them twice and one deleted: revisions 2 to 6.
  RewriteTest() {
    store_.put("a", "1");
    store_.put("b", "1");
    store_.put("a", "2");
    store_.put("c", "1");
    store_.del("c");
    const auto batch = store_->begin();
    batch->put_record("member/1", "old");
    batch->put_record("member/2", "old");
    batch->put_record("configuration", "old");
    batch->put_record("cluster_version", "3.6.0");
    EXPECT_TRUE(batch->commit(store_->applied_index() + 1, 1).ok());
    index_ = store_->applied_index();
  }

  Rewrite change(int64_t bump) const {
    return {.applied_index = index_ + 1,
            .applied_term = 2,
            .bump_revision = bump,
            .drop_prefixes = {"member/", "configuration"},
            .put_records = {{"member/7", "new"}, {"configuration", "new"}}};
  }

  TempStore store_;
  uint64_t index_ = 0;
};

TEST_F(RewriteTest, Replaces_the_members_and_leaves_keys_and_history) {
  store_.close();
  const auto revision = rewrite(store_.path(), change(0));
  ASSERT_TRUE(revision.ok()) << revision.status().to_string();
  EXPECT_EQ(*revision, 6);
  store_.open();
  EXPECT_EQ(store_->applied_index(), index_ + 1);
  EXPECT_EQ(store_->applied_term(), 2u);
  EXPECT_EQ(store_->durable_index(), index_ + 1);
  EXPECT_EQ(store_->records(""), (std::vector<std::pair<std::string, std::string>>{
                                     {"cluster_version", "3.6.0"}, {"configuration", "new"}, {"member/7", "new"}}));
  EXPECT_EQ(store_.list("a", "z"), "a=2 b=1");
  EXPECT_EQ(store_.get("a", 2), "1");
  EXPECT_EQ(store_.get("c", 5), "1");
}

TEST_F(RewriteTest, Raises_the_revision_and_marks_what_was_before_as_compacted) {
  store_.close();
  const auto revision = rewrite(store_.path(), change(1'000'000));
  ASSERT_TRUE(revision.ok()) << revision.status().to_string();
  EXPECT_EQ(*revision, 1'000'006);
  store_.open();
  EXPECT_EQ(store_->revision(), Revision(1'000'006));
  EXPECT_EQ(store_.list("a", "z"), "a=2 b=1");
  for (const int64_t old : {2, 6, 7, 1'000'005}) {
    EXPECT_EQ(store_.range(range_request("a", "", old)).status().text(),
              "etcdserver: mvcc: required revision has been compacted")
        << old;
  }
  EXPECT_EQ(store_.get("a", 1'000'006), "2");
  EXPECT_EQ(store_.put("d", "1"), 1'000'007);
  // The history of before goes as after any compaction.
  EXPECT_TRUE(store_.wait_compacted(1'000'006).ok());
  EXPECT_EQ(store_.list("a", "z"), "a=2 b=1 d=1");
  const auto hash = store_->hash_kv(0);
  ASSERT_TRUE(hash.ok());
  EXPECT_EQ(hash->compact_revision, 1'000'006);
  // Restarts find it so.
  store_.reopen();
  EXPECT_EQ(store_->revision(), Revision(1'000'007));
  EXPECT_EQ(store_.list("a", "z"), "a=2 b=1 d=1");
  EXPECT_EQ(store_->hash_kv(0)->hash, hash->hash);
}

TEST_F(RewriteTest, Leaves_room_for_further_revisions) {
  store_.close();
  EXPECT_THAT(rewrite(store_.path(), change(INT64_MAX)).status().text(), HasSubstr("can't be raised by"));
  EXPECT_THAT(rewrite(store_.path(), change(INT64_MAX - 5)).status().text(), HasSubstr("can't be raised by"));
  store_.open();
  EXPECT_EQ(store_->revision(), Revision(6));
}

TEST_F(RewriteTest, Is_refused_while_somebody_has_the_state) {
  EXPECT_EQ(rewrite(store_.path(), change(0)).status().code(), Code::kUnavailable);
  EXPECT_EQ(rewrite(store_.path() + "x", change(0)).status().code(), Code::kNotFound);
}

uint64_t bytes_of(const std::string& directory) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() != ".sst") continue;
    std::error_code gone;  // RocksDB's own compactions may take a file away meanwhile
    if (const uint64_t size = entry.file_size(gone); !gone) bytes += size;
  }
  return bytes;
}

TEST(DefragmentTest, Gives_space_back_and_changes_nothing_that_can_be_read) {
  TempStore store;
  const auto noise = [](int seed) {
    std::string value(4096, '\0');
    uint32_t x = static_cast<uint32_t>(seed) * 2654435761u + 1;
    for (char& c : value) c = static_cast<char>((x = x * 1664525u + 1013904223u) >> 24);
    return value;
  };
  for (int i = 0; i < 1000; ++i) store.put("k" + std::to_string(i % 10), noise(i));
  ASSERT_TRUE(store.compact(store->revision().value()).ok());
  ASSERT_TRUE(store.wait_compacted(store->revision().value()).ok());
  ASSERT_TRUE(store->flush().ok());
  const uint64_t before = bytes_of(store.path());
  const uint32_t hash = store->hash_kv(0)->hash;

  std::atomic<bool> cancel{false};
  const Status done = store->defragment(cancel);
  ASSERT_TRUE(done.ok()) << done.to_string();
  const uint64_t after = bytes_of(store.path());
  EXPECT_LT(after, before / 2) << "of " << before;
  EXPECT_LT(after, 300'000u) << "ten values of 4 KiB, in head and in history";
  EXPECT_EQ(store->hash_kv(0)->hash, hash);
  store.reopen();
  EXPECT_EQ(store->hash_kv(0)->hash, hash);
}

TEST(DefragmentTest, Stops_when_it_is_told_so) {
  TempStore store;
  for (int i = 0; i < 100; ++i) store.put("k" + std::to_string(i), "v");
  std::atomic<bool> cancel{true};
  EXPECT_EQ(store->defragment(cancel).code(), Code::kCanceled);
  EXPECT_EQ(store.get("k7"), "v");
}

}  // namespace
}  // namespace kv::store
