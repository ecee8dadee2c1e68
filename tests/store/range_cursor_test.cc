// A Range in pieces is the Range of the state at which it was opened, whatever is written and compacted meanwhile.
#include <google/protobuf/util/message_differencer.h>

#include "base/random.h"
#include "temp_store.h"

namespace kv::store {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using google::protobuf::util::MessageDifferencer;

std::string key_of(uint64_t n) { return "k" + std::to_string(1000 + n); }

TEST(RangeCursorTest, The_pieces_together_are_the_range_of_that_moment) {
  TempStore store;
  Random random(3);
  const auto write = [&](int times) {
    for (int i = 0; i < times; ++i) {
      const std::string key = key_of(random.below(60));
      random.below(4) == 0 ? store.del(key) : store.put(key, std::string(random.below(100), 'v'));
    }
  };
  write(200);
  int pieces_of_all = 0;
  for (int round = 0; round < 200; ++round) {
    RangeRequest request = range_request(random.below(2) == 0 ? kZero : key_of(random.below(60)));
    if (random.below(8) != 0) request.set_range_end(random.below(2) == 0 ? kZero : key_of(random.below(60)));
    if (random.below(2) == 0) request.set_limit(static_cast<int64_t>(random.below(30)));
    request.set_keys_only(random.below(4) == 0);
    request.set_count_only(random.below(8) == 0);
    if (random.below(2) == 0) {
      const int64_t compacted = std::max<int64_t>(store->stats().compact_revision, 1);
      request.set_revision(compacted + static_cast<int64_t>(random.below(
                                           static_cast<uint64_t>(store->revision().value() - compacted + 1))));
    }
    const RangeResponse whole = store.range(request).value();
    auto cursor = store->open_range(request);
    ASSERT_TRUE(cursor.ok()) << cursor.status().to_string();

    RangeResponse joined;
    while (true) {
      write(static_cast<int>(random.below(6)));
      const int64_t to = store->revision().value();
      if (random.below(10) == 0 && to > store->stats().compact_revision) {
        ASSERT_TRUE(store.compact(to).ok());
        ASSERT_TRUE(store.wait_compacted(to).ok());
      }
      RangeResponse piece;
      const auto max_keys = static_cast<int64_t>(1 + random.below(12));
      const Status status = (*cursor)->next(max_keys, 1 + random.below(400), &piece);
      ASSERT_TRUE(status.ok()) << status.to_string();
      ++pieces_of_all;
      ASSERT_LE(piece.kvs_size(), max_keys);
      ASSERT_EQ(piece.has_header(), (*cursor)->done());
      if (!(*cursor)->done()) {
        ASSERT_GT(piece.kvs_size(), 0) << "a piece without an end moves on";
        ASSERT_EQ(piece.count(), 0);
        ASSERT_FALSE(piece.more());
      }
      joined.MergeFrom(piece);
      if ((*cursor)->done()) break;
    }
    ASSERT_TRUE(MessageDifferencer::Equals(joined, whole))
        << request.ShortDebugString() << "\npieces: " << joined.ShortDebugString()
        << "\nwhole: " << whole.ShortDebugString();
  }
  EXPECT_GT(pieces_of_all, 600) << "the ranges were cut";
}

TEST(RangeCursorTest, A_piece_ends_once_it_has_its_bytes) {
  TempStore store;
  for (uint64_t i = 0; i < 20; ++i) store.put(key_of(i), std::string(1000, 'v'));
  auto cursor = *store->open_range(range_request(kZero, kZero));
  RangeResponse piece;
  ASSERT_TRUE(cursor->next(100, 2500, &piece).ok());
  EXPECT_EQ(piece.kvs_size(), 3);
  ASSERT_TRUE(cursor->next(100, 1, &piece).ok());
  EXPECT_EQ(piece.kvs_size(), 1);
  EXPECT_EQ(piece.kvs(0).key(), key_of(3));
  ASSERT_TRUE(cursor->next(100, 1 << 20, &piece).ok());
  EXPECT_EQ(piece.kvs_size(), 16);
  EXPECT_TRUE(cursor->done());
  EXPECT_EQ(piece.count(), 20);
}

TEST(RangeCursorTest, What_range_refuses_and_what_only_the_stream_does) {
  TempStore store;
  for (int i = 0; i < 5; ++i) store.put("a", std::to_string(i));
  ASSERT_TRUE(store.compact(4).ok());
  EXPECT_EQ(store->open_range(range_request("a", "b", 3)).status().text(),
            "etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(store->open_range(range_request("a", "b", 99)).status().text(),
            "etcdserver: mvcc: required revision is a future revision");

  EXPECT_EQ(check_stream(range_request("")).text(), "etcdserver: key is not provided");
  RangeRequest request = range_request("a");
  request.set_sort_target(RangeRequest::VALUE);
  EXPECT_TRUE(check_stream(request).ok()) << "no order asks for no sorting";
  request.set_sort_order(RangeRequest::ASCEND);
  EXPECT_EQ(check_stream(request), Status(Code::kUnimplemented, "RangeStream does not support custom sort orders"));
  request.set_sort_target(RangeRequest::KEY);
  EXPECT_TRUE(check_stream(request).ok());
  request.set_sort_order(RangeRequest::DESCEND);
  EXPECT_EQ(check_stream(request).code(), Code::kUnimplemented);
  request.set_sort_order(static_cast<RangeRequest::SortOrder>(9));
  EXPECT_EQ(check_stream(request).text(), "etcdserver: invalid sort option");
  request.clear_sort_order();
  request.set_max_create_revision(1);
  EXPECT_EQ(check_stream(request), Status(Code::kUnimplemented, "RangeStream does not support revision filters"));
}

}  // namespace
}  // namespace kv::store
