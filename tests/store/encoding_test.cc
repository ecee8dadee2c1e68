#include "store/encoding.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace kv::store {
namespace {

Record random_record(Random& random, std::string* value) {
  Record r;
  r.mod = {2 + static_cast<int64_t>(random.next() >> (2 + random.below(60))),
           static_cast<uint32_t>(random.below(1000))};
  if (random.one_in(2)) r.prev = {1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(r.mod.main))), 3};
  r.tombstone = random.one_in(4);
  if (r.tombstone) return r;
  r.create_revision = 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(r.mod.main)));
  r.version = static_cast<int64_t>(random.below(300));
  if (random.one_in(3)) r.lease = static_cast<int64_t>(random.next());
  value->assign(random.below(100), 'v');
  r.value = *value;
  return r;
}

void expect_equal(const Record& a, const Record& b) {
  EXPECT_EQ(a.mod, b.mod);
  EXPECT_EQ(a.prev, b.prev);
  EXPECT_EQ(a.tombstone, b.tombstone);
  EXPECT_EQ(a.create_revision, b.create_revision);
  EXPECT_EQ(a.version, b.version);
  EXPECT_EQ(a.lease, b.lease);
  EXPECT_EQ(a.value, b.value);
}

TEST(Encoding, Record_comes_back_as_it_was) {
  Random random(1);
  for (int i = 0; i < 10000; ++i) {
    std::string value, bytes;
    const Record record = random_record(random, &value);
    encode_record(record, &bytes);
    Record back;
    ASSERT_TRUE(decode_record(bytes, &back)) << i;
    expect_equal(record, back);
  }
}

TEST(Encoding, History_keys_sort_as_revisions_do) {
  const Rev revs[] = {{2, 0}, {2, 1}, {2, 256}, {3, 0}, {255, 9}, {256, 0}, {1LL << 40, 0}, {INT64_MAX, UINT32_MAX}};
  for (size_t i = 0; i + 1 < std::size(revs); ++i) EXPECT_LT(history_key(revs[i]), history_key(revs[i + 1]));
  for (const Rev rev : revs) {
    Rev back;
    ASSERT_TRUE(decode_history_key(history_key(rev), &back));
    EXPECT_EQ(back, rev);
  }
}

TEST(Encoding, History_record_gives_back_each_change_and_finds_it_by_revision) {
  Random random(2);
  HistoryBuilder builder;
  std::vector<Rev> revs;
  for (int i = 0; i < 100; ++i) {
    Record r;
    r.mod = i % 3 == 0 ? Rev{1000 + i * 7, 0} : Rev{revs.back().main, revs.back().sub + 2};
    r.create_revision = r.mod.main;
    r.version = 1;
    const std::string value(random.below(50), 'x');
    r.value = value;
    builder.add("key" + std::to_string(i), r);
    revs.push_back(r.mod);
  }
  const std::string bytes = builder.finish();
  HistoryReader reader;
  ASSERT_TRUE(reader.open(revs.front(), bytes));
  ASSERT_EQ(reader.count(), revs.size());
  for (size_t i = 0; i < revs.size(); ++i) {
    EXPECT_EQ(reader.rev(i), revs[i]);
    EXPECT_EQ(reader.lower_bound(revs[i]), i);
    EXPECT_EQ(reader.lower_bound({revs[i].main, revs[i].sub + 1}), i + 1);
    Change change;
    ASSERT_TRUE(reader.change(i, &change));
    EXPECT_EQ(change.key, "key" + std::to_string(i));
    EXPECT_EQ(change.record.mod, revs[i]);
  }
}

TEST(Encoding, Truncated_builder_is_as_if_the_changes_had_never_come) {
  Record r;
  r.mod = {5, 0};
  r.create_revision = 5;
  r.version = 1;
  HistoryBuilder once, twice;
  once.add("a", r);
  twice.add("a", r);
  const size_t size = twice.bytes().size();
  r.mod = {6, 0};
  twice.add("b", r);
  twice.truncate(1, size);
  EXPECT_EQ(once.finish(), twice.finish());
}

// What is on disk may be damaged; whatever it is, decoding ends with an answer and inside the bytes (asan watches).
TEST(Encoding, Damaged_bytes_are_refused_or_read_without_harm) {
  Random random(3);
  HistoryBuilder builder;
  std::string value;
  int64_t main = 2;
  for (int i = 0; i < 20; ++i) {
    Record r = random_record(random, &value);
    r.mod = {main++, 0};
    r.prev = {};
    r.create_revision = 1;
    builder.add("some key", r);
  }
  const std::string good = builder.finish();
  size_t refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = good;
    if (random.one_in(4)) bytes.resize(random.below(bytes.size() + 1));
    for (uint64_t n = 1 + random.below(4); n > 0 && !bytes.empty(); --n) {
      bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    }
    const auto copy = std::make_unique<char[]>(bytes.size());  // exactly as long, so that asan sees one byte more
    std::copy(bytes.begin(), bytes.end(), copy.get());
    HistoryReader reader;
    if (!reader.open({2, 0}, {copy.get(), bytes.size()})) {
      ++refused;
      continue;
    }
    for (size_t j = 0; j < reader.count(); ++j) {
      Change change;
      if (!reader.change(j, &change)) ++refused;
    }
  }
  EXPECT_GT(refused, 1000u);
}

TEST(Encoding, Applied_and_numbers_come_back) {
  Applied back;
  ASSERT_TRUE(decode_applied(encode_applied({1ULL << 63, 7, 12345678901}), &back));
  EXPECT_EQ(back.index, 1ULL << 63);
  EXPECT_EQ(back.term, 7u);
  EXPECT_EQ(back.revision, 12345678901);
  EXPECT_FALSE(decode_applied("short", &back));
  int64_t n;
  ASSERT_TRUE(decode_int64(encode_int64(-1), &n));
  EXPECT_EQ(n, -1);
  for (const uint64_t v : {uint64_t{0}, uint64_t{127}, uint64_t{128}, UINT64_MAX}) {
    std::string bytes;
    put_varint(&bytes, v);
    std::string_view in = bytes;
    uint64_t out;
    ASSERT_TRUE(get_varint(&in, &out));
    EXPECT_EQ(out, v);
    EXPECT_TRUE(in.empty());
  }
  std::string_view endless("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11);
  uint64_t out;
  EXPECT_FALSE(get_varint(&endless, &out));
}

}  // namespace
}  // namespace kv::store
