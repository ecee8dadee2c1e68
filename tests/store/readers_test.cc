// Readers on many threads beside the one that applies: what a reader sees is the state at the revision that its header
// names, whole.
#include <atomic>
#include <thread>

#include "random_requests.h"
#include "temp_store.h"

namespace kv::store {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;

// Revision r + 1 is a transaction that rewrites all keys "k0".."k9" with value r + 1, and moves one of the keys "m...":
// deletes m<r> and puts m<r+1>. So at each revision all values are the revision, and there are kKeys + kMoving keys.
constexpr int kKeys = 10, kMoving = 40;

etcdserverpb::TxnRequest step(int64_t revision) {
  etcdserverpb::TxnRequest t;
  const auto name = [](int64_t n) { return "m" + std::to_string(1000000 + n); };
  for (int i = 0; i < kKeys; ++i) {
    *t.add_success()->mutable_request_put() = put_request("k" + std::to_string(i), std::to_string(revision));
  }
  if (revision == 2) {
    for (int i = 0; i < kMoving; ++i) *t.add_success()->mutable_request_put() = put_request(name(2 - i), "m");
  } else {
    *t.add_success()->mutable_request_delete_range() = delete_request(name(revision - kMoving));
    *t.add_success()->mutable_request_put() = put_request(name(revision), "m");
  }
  return t;
}

class ReadersTest : public testing::Test {
 protected:
  void read(Random& random, int64_t* last_revision) {
    RangeRequest request = range_request("k0");
    RangeResponse r;
    // In this order: compaction goes on, and must not be ahead of what was there before.
    const int64_t compacted = std::max<int64_t>(store_->stats().compact_revision, 2);
    const int64_t before = store_->revision().value();
    const uint64_t kind = random.below(8);
    switch (kind) {
      case 0:
      case 1:
      case 2: break;
      case 3: request.set_range_end("l"); break;
      case 4:
        request = range_request(kZero, kZero);
        request.set_count_only(true);
        break;
      case 5:
        request = range_request(kZero, kZero);
        request.set_limit(3);
        break;
      default:
        request = range_request(kZero, kZero);
        request.set_revision(compacted +
                             static_cast<int64_t>(random.below(static_cast<uint64_t>(before - compacted + 1))));
        if (kind == 7) request.set_limit(static_cast<int64_t>(1 + random.below(40)));
    }
    const Status s = store_->range(request, &r);
    if (request.revision() != 0 && s.code() == Code::kOutOfRange) return;  // it was compacted meanwhile
    ASSERT_TRUE(s.ok()) << s.to_string();
    const int64_t revision = r.header().revision();
    ASSERT_GE(revision, before) << "older than what was published before the read";
    ASSERT_GE(revision, *last_revision);
    *last_revision = revision;
    const int64_t at = request.revision() != 0 ? request.revision() : revision;
    if (kind <= 3) {
      ASSERT_EQ(r.kvs_size(), kind == 3 ? kKeys : 1);
    } else {
      ASSERT_EQ(r.count(), kKeys + kMoving) << request.ShortDebugString() << " at " << at << " of " << revision;
    }
    if (kind == 6) {
      ASSERT_EQ(r.kvs_size(), kKeys + kMoving);
    }
    for (const auto& kv : r.kvs()) {
      if (kv.key()[0] != 'k') continue;
      ASSERT_EQ(kv.value(), std::to_string(at));
      ASSERT_EQ(kv.mod_revision(), at);
      ASSERT_EQ(kv.version(), at - 1);
    }
  }

  TempStore store_;
};

TEST_F(ReadersTest, See_one_revision_each_while_batches_are_applied_and_history_is_compacted) {
  ASSERT_TRUE(store_.txn(step(2)).ok());
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> reads{0};
  std::vector<std::thread> readers;
  for (uint64_t i = 0; i < 3; ++i) {
    readers.emplace_back([&, i] {
      Random random(i);
      int64_t last_revision = 0;
      while (!stop && !HasFatalFailure()) {
        read(random, &last_revision);
        ++reads;
      }
    });
  }
  Random random(99);
  uint64_t index = 1;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(4);
  for (int64_t revision = 3; std::chrono::steady_clock::now() < deadline && !HasFatalFailure();) {
    const auto batch = store_->begin();
    for (uint64_t n = 1 + random.below(4); n > 0; --n, ++revision) {
      etcdserverpb::TxnResponse response;
      ASSERT_TRUE(batch->txn(step(revision), &response).ok());
      ASSERT_EQ(response.header().revision(), revision);
    }
    if (random.one_in(10) && revision > 40) {
      etcdserverpb::CompactionRequest request;
      etcdserverpb::CompactionResponse response;
      request.set_revision(revision - 1 - static_cast<int64_t>(random.below(30)));
      (void)batch->compact(request, &response);  // may be behind the last one
    }
    ASSERT_TRUE(batch->commit(++index, 1).ok());
    if (random.one_in(50)) {
      ASSERT_TRUE(store_->flush().ok());
    }
  }
  stop = true;
  for (auto& t : readers) t.join();
  EXPECT_GT(reads, 100u);
  EXPECT_GT(store_->stats().compact_revision, 2);
}

}  // namespace
}  // namespace kv::store
