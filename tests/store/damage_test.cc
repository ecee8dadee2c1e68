// Damaged files are named and refused; they never make an empty or a wrong state.
#include <gmock/gmock.h>

#include <fstream>

#include "base/random.h"
#include "store/database.h"
#include "temp_store.h"

namespace kv::store {
namespace {

namespace fs = std::filesystem;

class DamageTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 400; ++i)
      store_.put("key" + std::to_string(i), std::string(300, static_cast<char>('a' + i % 26)));
    ASSERT_TRUE(store_->flush().ok());
    store_.close();
  }
  std::vector<fs::path> files(const std::string& extension_or_name) {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(store_.path())) {
      const fs::path p = entry.path();
      if (p.extension() == extension_or_name || p.filename().string().starts_with(extension_or_name)) out.push_back(p);
    }
    return out;
  }
  Status open() {
    auto result = Store::open(options());
    return result.status();
  }
  StoreOptions options() {
    StoreOptions o = TempStore::small();
    o.path = store_.path();
    return o;
  }
  static void flip(const fs::path& file, size_t at) {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(static_cast<std::streamoff>(at));
    const char c = static_cast<char>(f.get());
    f.seekp(static_cast<std::streamoff>(at));
    f.put(static_cast<char>(c ^ 0x40));
  }

  TempStore store_;
};

TEST_F(DamageTest, Missing_CURRENT_beside_tables_is_data_loss_not_a_new_store) {
  fs::remove(store_.path() + "/CURRENT");
  const Status s = open();
  EXPECT_EQ(s.code(), Code::kDataLoss);
  EXPECT_THAT(s.text(), testing::HasSubstr(store_.path()));
}

TEST_F(DamageTest, Missing_table_is_data_loss) {
  for (const auto& file : files(".sst")) fs::remove(file);
  const Status s = open();
  EXPECT_EQ(s.code(), Code::kDataLoss) << s.to_string();
  EXPECT_THAT(s.text(), testing::HasSubstr("No such file"));
}

TEST_F(DamageTest, Missing_manifest_is_data_loss) {
  for (const auto& file : files("MANIFEST-")) fs::remove(file);
  EXPECT_EQ(open().code(), Code::kDataLoss);
}

TEST_F(DamageTest, Damaged_manifest_is_data_loss) {
  const fs::path manifest = files("MANIFEST-").at(0);
  flip(manifest, fs::file_size(manifest) / 2);
  EXPECT_EQ(open().code(), Code::kDataLoss);
}

TEST_F(DamageTest, Store_that_is_not_there_is_not_made_unless_asked_for) {
  StoreOptions o = options();
  o.path += ".none";
  o.create_if_missing = false;
  EXPECT_EQ(Store::open(o).status().code(), Code::kNotFound);
  EXPECT_FALSE(fs::exists(o.path));
}

TEST_F(DamageTest, Unknown_format_is_refused) {
  {
    const auto database = Database::open(options()).value();
    rocksdb::WriteBatch batch;
    batch.Put(database->meta(), slice(kMetaFormat), encode_int64(99));
    ASSERT_TRUE(database->write(&batch).ok());
  }
  const Status s = open();
  EXPECT_EQ(s.code(), Code::kDataLoss);
  EXPECT_THAT(s.text(), testing::HasSubstr("format 99"));
}

// A flipped bit in a table is found by its block's checksum: where it is read, be it at the opening or at a request,
// the answer is DataLoss or, where it hit nothing that matters, the right one.
TEST_F(DamageTest, Flipped_bit_is_never_read_as_data) {
  const std::string copy = store_.path() + ".copy";
  fs::copy(store_.path(), copy, fs::copy_options::recursive);
  etcdserverpb::RangeResponse truth;
  {
    auto store = Store::open(options()).value();
    ASSERT_TRUE(store->range(range_request(kZero, kZero), &truth).ok());
  }
  int refused = 0, right = 0;
  Random random(1);
  for (int i = 0; i < 40; ++i) {
    fs::remove_all(store_.path());
    fs::copy(copy, store_.path(), fs::copy_options::recursive);
    const auto tables = files(".sst");
    const fs::path table = tables[random.below(tables.size())];
    flip(table, random.below(fs::file_size(table)));
    auto result = Store::open(options());
    if (!result.ok()) {
      ASSERT_EQ(result.status().code(), Code::kDataLoss) << result.status().to_string();
      ++refused;
      continue;
    }
    etcdserverpb::RangeResponse response;
    const Status s = (*result)->range(range_request(kZero, kZero), &response);
    if (!s.ok()) {
      ASSERT_EQ(s.code(), Code::kDataLoss) << s.to_string();
      ASSERT_THAT(s.text(), testing::HasSubstr(".sst"));
      ++refused;
      continue;
    }
    ASSERT_EQ(response.SerializeAsString(), truth.SerializeAsString());
    ++right;
  }
  EXPECT_GT(refused, 10);
  EXPECT_GT(right, 1);
  fs::remove_all(copy);
}

TEST_F(DamageTest, Damaged_record_of_head_names_its_key) {
  {
    const auto database = Database::open(options()).value();
    rocksdb::WriteBatch batch;
    batch.Put(database->head(), "key7", "\xff\xff");
    ASSERT_TRUE(database->write(&batch).ok());
  }
  store_.open();
  const Status s = store_.range(range_request("key7")).status();
  EXPECT_EQ(s.code(), Code::kDataLoss);
  EXPECT_THAT(s.text(), testing::HasSubstr("key7"));
  // Applying can't go on either: another member would not fail here.
  const auto batch = store_->begin();
  etcdserverpb::PutResponse response;
  EXPECT_EQ(batch->put(put_request("key7", "x"), &response).code(), Code::kDataLoss);
  EXPECT_EQ(batch->commit(1000, 1).code(), Code::kDataLoss);
}

}  // namespace
}  // namespace kv::store
