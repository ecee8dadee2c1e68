#include <gmock/gmock.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "store/store.h"
#include "temp_store.h"

namespace kv::store {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// The copy, opened as a store of its own.
std::unique_ptr<Store> open_copy(const std::string& path) {
  StoreOptions options = TempStore::small();
  options.path = path;
  options.create_if_missing = false;
  auto store = Store::open(options);
  EXPECT_TRUE(store.ok()) << store.status().to_string();
  return store.ok() ? std::move(*store) : nullptr;
}

uint32_t hash(const Store& store, int64_t revision = 0) { return store.hash_kv(revision).value().hash; }

std::vector<fs::path> files_of(const std::string& path, const std::string& extension) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == extension) found.push_back(entry.path());
  }
  return found;
}

TEST(Checkpoint, Holds_the_state_as_it_was_whatever_comes_after) {
  TempStore s;
  TempDir directory;
  const std::string path = directory.path() + "/copy";
  for (int i = 0; i < 300; ++i) s.put("key" + std::to_string(i % 50), std::string(100, 'a') + std::to_string(i));
  ASSERT_TRUE(s.compact(200).ok());
  {
    const auto batch = s->begin();
    etcdserverpb::LeaseGrantRequest grant;
    grant.set_id(7);
    grant.set_ttl(60);
    etcdserverpb::LeaseGrantResponse granted;
    ASSERT_TRUE(batch->lease_grant(grant, &granted).ok());
    batch->put_record("member/1", "one");
    ASSERT_TRUE(batch->commit(400, 3).ok());
  }
  const auto info = s->checkpoint(path);
  ASSERT_TRUE(info.ok()) << info.status().to_string();
  EXPECT_EQ(info->applied_index, 400u);
  EXPECT_EQ(info->applied_term, 3u);
  EXPECT_EQ(info->revision, 301);
  EXPECT_EQ(info->compact_revision, 200);
  EXPECT_THAT(info->records, testing::ElementsAre(testing::Pair("member/1", "one")));
  EXPECT_EQ(s->durable_index(), 400u);
  const uint32_t then = hash(*s);
  {
    const auto batch = s->begin();
    etcdserverpb::PutResponse response;
    ASSERT_TRUE(batch->put(put_request("key1", "after"), &response).ok());
    batch->put_record("member/2", "two");
    ASSERT_TRUE(batch->commit(401, 3).ok());
  }
  ASSERT_TRUE(s.wait_compacted(200).ok());
  const auto copy = open_copy(path);
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->applied_index(), 400u);
  EXPECT_EQ(copy->applied_term(), 3u);
  EXPECT_EQ(copy->revision(), Revision(301));
  EXPECT_EQ(copy->stats().keys, 50u);
  EXPECT_EQ(hash(*copy), then);
  EXPECT_NE(hash(*copy), hash(*s));
  EXPECT_TRUE(copy->lease(7));
  EXPECT_FALSE(copy->record("member/2"));
}

TEST(Checkpoint, Outlives_the_state_that_it_was_made_of) {
  TempDir directory;
  const std::string path = directory.path() + "/copy";
  {
    TempStore s;
    s.put("a", "1");
    ASSERT_TRUE(s->checkpoint(path).ok());
  }
  const auto copy = open_copy(path);
  ASSERT_TRUE(copy);
  etcdserverpb::RangeResponse response;
  ASSERT_TRUE(copy->range(range_request("a"), &response).ok());
  ASSERT_EQ(response.kvs_size(), 1);
  EXPECT_EQ(response.kvs(0).value(), "1");
}

TEST(Checkpoint, Made_while_others_apply_and_compact_holds_whole_batches) {
  TempStore s;
  TempDir directory;
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (uint64_t i = 1; !stop; ++i) {
      const auto batch = s->begin();
      etcdserverpb::PutResponse response;
      const std::string value = std::to_string(i) + std::string(i % 500, 'x');
      // Head, history, lease rows and meta change together.
      EXPECT_TRUE(batch->put(put_request("a" + std::to_string(i % 70), value), &response).ok());
      EXPECT_TRUE(batch->put(put_request("b" + std::to_string(i % 70), value), &response).ok());
      if (i % 100 == 0) {
        etcdserverpb::CompactionRequest request;
        etcdserverpb::CompactionResponse compacted;
        request.set_revision(static_cast<int64_t>(i));
        EXPECT_TRUE(batch->compact(request, &compacted).ok());
      }
      batch->put_record("index", std::to_string(i));
      EXPECT_TRUE(batch->commit(i, 1).ok());
    }
  });
  uint64_t before = 0;
  for (int n = 0; n < 8; ++n) {
    const uint64_t least = s->applied_index();
    const std::string path = directory.path() + "/copy" + std::to_string(n);
    const auto info = s->checkpoint(path);
    ASSERT_TRUE(info.ok()) << info.status().to_string();
    EXPECT_GE(info->applied_index, least);
    EXPECT_GE(info->applied_index, before);
    before = info->applied_index;
    const auto copy = open_copy(path);
    ASSERT_TRUE(copy);
    EXPECT_EQ(copy->applied_index(), info->applied_index);
    EXPECT_EQ(copy->revision().value(), static_cast<int64_t>(2 * info->applied_index) + 1);
    if (info->applied_index == 0) continue;
    EXPECT_EQ(copy->record("index"), std::to_string(info->applied_index));
    for (const char* key : {"a", "b"}) {
      etcdserverpb::RangeResponse response;
      ASSERT_TRUE(copy->range(range_request(key + std::to_string(info->applied_index % 70)), &response).ok());
      ASSERT_EQ(response.kvs_size(), 1);
      EXPECT_THAT(response.kvs(0).value(), testing::StartsWith(std::to_string(info->applied_index)));
    }
  }
  stop = true;
  writer.join();
}

TEST(Checkpoint, Is_for_its_owner_alone) {
  TempStore s;
  TempDir directory;
  const std::string path = directory.path() + "/copy";
  s.put("a", "1");
  ASSERT_TRUE(s->checkpoint(path).ok());
  struct stat st;
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
}

TEST(Checkpoint, Never_replaces_what_is_there) {
  TempStore s;
  TempDir directory;
  EXPECT_EQ(s->checkpoint(directory.path()).status().code(), Code::kAlreadyExists);
  EXPECT_TRUE(fs::exists(directory.path()));
  EXPECT_FALSE(s->checkpoint(directory.path() + "/no/such/parent").ok());
}

TEST(Checkpoint, Inspection_says_what_is_there_and_leaves_it_alone) {
  TempStore s;
  TempDir directory;
  const std::string path = directory.path() + "/copy";
  s.put("a", "1");
  ASSERT_TRUE(s->checkpoint(path).ok());
  const auto names = [&] {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(path)) {
      out.push_back(entry.path().filename().string() + " " + std::to_string(entry.file_size()));
    }
    std::sort(out.begin(), out.end());
    return out;
  };
  const auto before = names();
  const auto info = Store::inspect(path);
  ASSERT_TRUE(info.ok()) << info.status().to_string();
  EXPECT_EQ(info->applied_index, 1u);
  EXPECT_EQ(names(), before);
  EXPECT_EQ(Store::inspect(directory.path() + "/nothing").status().code(), Code::kNotFound);
  EXPECT_EQ(Store::inspect(directory.path()).status().code(), Code::kDataLoss);
}

TEST(Checkpoint, Inspection_finds_a_file_that_is_cut_short_or_gone) {
  TempStore s;
  TempDir directory;
  s.put("a", "1");
  const std::string cut = directory.path() + "/cut";
  const std::string gone = directory.path() + "/gone";
  ASSERT_TRUE(s->checkpoint(cut).ok());
  s.put("a", "2");
  ASSERT_TRUE(s->checkpoint(gone).ok());
  const auto tables = files_of(cut, ".sst");
  ASSERT_FALSE(tables.empty());
  // Not in place: the file is the state's, too.
  const fs::path copy = tables[0].string() + ".copy";
  fs::copy_file(tables[0], copy);
  fs::resize_file(copy, fs::file_size(copy) / 2);
  fs::rename(copy, tables[0]);
  EXPECT_EQ(Store::inspect(cut).status().code(), Code::kDataLoss);
  fs::remove(files_of(gone, ".sst").front());
  EXPECT_EQ(Store::inspect(gone).status().code(), Code::kDataLoss);
}

}  // namespace
}  // namespace kv::store
