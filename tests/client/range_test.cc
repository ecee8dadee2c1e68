#include "client/range.h"

#include <gtest/gtest.h>

#include "client/embedded.h"

namespace kv::client {
namespace {

class ClientRange : public Embedded {
 protected:
  void fill(int keys, size_t value_bytes = 8) {
    for (int i = 0; i < keys;) {
      std::vector<Op> ops;
      for (int n = 0; n < 100 && i < keys; ++n, ++i) ops.push_back(put_op(name(i), std::string(value_bytes, 'v')));
      ASSERT_TRUE(client_->commit(Txn().then(std::move(ops))).ok());
    }
  }
  std::string name(int i) const {
    char digits[16];
    std::snprintf(digits, sizeof digits, "%05d", i);
    return key(digits);
  }
};

TEST_F(ClientRange, Gives_every_key_once_and_in_order_whatever_the_page) {
  constexpr int kKeys = 250;
  fill(kKeys);
  for (const int64_t page_keys : {int64_t{1}, int64_t{7}, int64_t{50}, int64_t{249}, int64_t{250}, int64_t{10'000}}) {
    Range range(*client_, prefix_, {.range_end = prefix_end(prefix_), .page_keys = page_keys});
    int at = 0;
    for (const KeyValue& kv : range) ASSERT_EQ(kv.key, name(at++)) << page_keys;
    EXPECT_TRUE(range.status().ok()) << range.status().to_string();
    EXPECT_EQ(at, kKeys) << page_keys;
    EXPECT_EQ(range.count(), kKeys);
    EXPECT_GE(range.pages(), static_cast<size_t>((kKeys + page_keys - 1) / page_keys));
    EXPECT_EQ(range.next(), nullptr) << "the end is the end";
  }
}

TEST_F(ClientRange, Reads_one_state_while_others_write) {
  fill(20);
  Range range(*client_, prefix_, {.range_end = prefix_end(prefix_), .page_keys = 5});
  std::vector<std::string> keys;
  ASSERT_NE(range.next(), nullptr);
  ASSERT_TRUE(client_->remove(name(19)).ok());
  ASSERT_TRUE(client_->put(name(7), "changed").ok());
  ASSERT_TRUE(client_->put(name(20), "new").ok());
  int seen = 1;
  for (const KeyValue& kv : range) {
    EXPECT_EQ(kv.value, "vvvvvvvv") << kv.key;
    EXPECT_LE(kv.mod_revision, range.revision());
    ++seen;
  }
  EXPECT_TRUE(range.status().ok()) << range.status().to_string();
  EXPECT_EQ(seen, 20);
}

TEST_F(ClientRange, Pages_follow_the_size_of_the_values) {
  fill(100, 10'000);
  Range range(*client_, prefix_, {.range_end = prefix_end(prefix_), .page_bytes = 50'000});
  int seen = 0;
  for (const KeyValue& kv : range) {
    EXPECT_EQ(kv.value.size(), 10'000u);
    ++seen;
  }
  EXPECT_EQ(seen, 100);
  // 64 on the first page, which knows nothing yet; then four or five at a time.
  EXPECT_GE(range.pages(), 8u);
  EXPECT_LE(range.pages(), 12u);
}

TEST_F(ClientRange, Says_that_its_history_is_gone) {
  fill(10);
  Range range(*client_, prefix_, {.range_end = prefix_end(prefix_), .page_keys = 5});
  ASSERT_NE(range.next(), nullptr);
  const auto put = client_->put(name(3), "x");
  ASSERT_TRUE(client_->compact(put->header.revision).ok());
  int seen = 1;
  for (const KeyValue& kv : range) seen += kv.key.empty() ? 0 : 1;
  EXPECT_EQ(seen, 5);
  EXPECT_EQ(range.status(), Status(Code::kOutOfRange, "etcdserver: mvcc: required revision has been compacted"));
}

TEST_F(ClientRange, Empty_ranges_and_single_keys_are_ranges_too) {
  Range none(*client_, prefix_, {.range_end = prefix_end(prefix_)});
  EXPECT_EQ(none.begin(), none.end());
  EXPECT_TRUE(none.status().ok());
  ASSERT_TRUE(client_->put(key("a"), "1").ok());
  Range one(*client_, key("a"), {.keys_only = true});
  const KeyValue* kv = one.next();
  ASSERT_NE(kv, nullptr);
  EXPECT_EQ(kv->key, key("a"));
  EXPECT_EQ(kv->value, "");
  EXPECT_EQ(one.next(), nullptr);
}

}  // namespace
}  // namespace kv::client
