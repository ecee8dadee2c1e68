// The store against the model: thousands of random commands and reads, compactions and restarts between, every answer
// compared whole.
#include "model.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <optional>

#include "random_requests.h"
#include "temp_store.h"

namespace kv::store {
namespace {

using google::protobuf::Message;

class ModelTest : public testing::TestWithParam<uint64_t> {
 protected:
  ModelTest() : ModelTest(RandomRequests(GetParam()), 8) {}
  ModelTest(RandomRequests requests, uint64_t compacts_once_in)
      : requests_(std::move(requests)), compacts_once_in_(compacts_once_in) {}

  template <typename Request, typename Response>
  void expect_same(const Request& request, const Status& expected_status, const Response& expected,
                   const Status& status, const Response& response) {
    ASSERT_EQ(status, expected_status) << request.DebugString();
    if (!status.ok()) return;
    ASSERT_TRUE(google::protobuf::util::MessageDifferencer::Equals(expected, response))
        << "request\n"
        << request.DebugString() << "expected\n"
        << expected.DebugString() << "got\n"
        << response.DebugString();
  }

  void command(ApplyBatch& batch) {
    switch (requests_.random().below(13)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const auto r = requests_.put();
        etcdserverpb::PutResponse expected, response;
        const Status e = model_.put(r, &expected), s = batch.put(r, &response);
        expect_same(r, e, expected, s, response);
        break;
      }
      case 4: {
        const auto r = requests_.delete_range();
        etcdserverpb::DeleteRangeResponse expected, response;
        const Status e = model_.delete_range(r, &expected), s = batch.delete_range(r, &response);
        expect_same(r, e, expected, s, response);
        break;
      }
      case 10: {
        const auto r = requests_.lease_grant();
        etcdserverpb::LeaseGrantResponse expected, response;
        const Status e = model_.lease_grant(r, &expected), s = batch.lease_grant(r, &response);
        expect_same(r, e, expected, s, response);
        break;
      }
      case 11: {
        const auto r = requests_.lease_revoke();
        etcdserverpb::LeaseRevokeResponse expected, response;
        const Status e = model_.lease_revoke(r, &expected), s = batch.lease_revoke(r, &response);
        expect_same(r, e, expected, s, response);
        break;
      }
      case 12: {
        const auto r = requests_.lease_checkpoint();
        etcdserverpb::LeaseCheckpointResponse expected, response;
        const Status e = model_.lease_checkpoint(r, &expected), s = batch.lease_checkpoint(r, &response);
        expect_same(r, e, expected, s, response);
        break;
      }
      case 5:
        if (requests_.random().one_in(compacts_once_in_)) {
          etcdserverpb::CompactionRequest r;
          r.set_revision(requests_.revision_near(model_.revision(), model_.compact_revision()));
          etcdserverpb::CompactionResponse expected, response;
          const Status e = model_.compact(r, &expected), s = batch.compact(r, &response);
          expect_same(r, e, expected, s, response);
          break;
        }
        [[fallthrough]];
      default: {
        const auto r = requests_.txn(model_.revision(), model_.compact_revision());
        etcdserverpb::TxnResponse expected, response;
        const Status e = model_.txn(r, &expected), s = batch.txn(r, &response);
        expect_same(r, e, expected, s, response);
      }
    }
  }

  void read() {
    const auto r = requests_.range(model_.revision(), model_.compact_revision());
    etcdserverpb::RangeResponse expected, response;
    const Status e = model_.range(r, &expected), s = store_->range(r, &response);
    expect_same(r, e, expected, s, response);

    auto t = requests_.txn(model_.revision(), model_.compact_revision());
    for (auto* ops : {t.mutable_success(), t.mutable_failure()}) {
      ops->Clear();
      for (int i = 0; i < 2; ++i) {
        *ops->Add()->mutable_request_range() = requests_.range(model_.revision(), model_.compact_revision());
      }
    }
    etcdserverpb::TxnResponse expected_txn, response_txn;
    const Status et = model_.txn(t, &expected_txn), st = store_->txn(t, &response_txn);
    expect_same(t, et, expected_txn, st, response_txn);
  }

  void read_leases() {
    const std::vector<Lease> leases = store_->leases();
    ASSERT_EQ(leases.size(), model_.leases().size());
    auto it = model_.leases().begin();
    for (const Lease& lease : leases) {
      ASSERT_EQ(lease.id, it->first);
      ASSERT_EQ(std::pair(lease.ttl_s, lease.remaining_s), it->second);
      ++it;
    }
    for (int64_t id = 1; id <= 8; ++id) {
      ASSERT_EQ(store_->lease(id).has_value(), model_.leases().contains(id));
      ASSERT_EQ(store_->lease_keys(id).value(), model_.lease_keys(id)) << "lease " << id;
    }
  }

  void batch() {
    // Some batches are never committed.
    std::optional<Model> before;
    if (requests_.random().one_in(20)) before = model_;
    const auto batch = store_->begin();
    for (uint64_t n = 1 + requests_.random().below(6); n > 0; --n) {
      command(*batch);
      if (HasFatalFailure()) return;
    }
    if (before) {
      model_ = std::move(*before);
      return;
    }
    ASSERT_TRUE(batch->commit(++index_, 1).ok());
    ASSERT_EQ(store_->revision().value(), model_.revision());
    ASSERT_EQ(store_->applied_index(), index_);
  }

  RandomRequests requests_;
  const uint64_t compacts_once_in_;
  Model model_;
  TempStore store_;
  uint64_t index_ = 0;
};

TEST_P(ModelTest, Store_answers_as_the_model_does) {
  for (int step = 0; step < 1000; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    batch();
    if (HasFatalFailure()) return;
    for (int i = 0; i < 3; ++i) {
      read();
      if (HasFatalFailure()) return;
    }
    read_leases();
    if (HasFatalFailure()) return;
    if (requests_.random().one_in(100)) {
      ASSERT_TRUE(store_->flush().ok());
      ASSERT_EQ(store_->durable_index(), index_);
    }
    if (requests_.random().one_in(150)) store_.reopen();
    if (requests_.random().one_in(50) && model_.compact_revision() > 0) {
      ASSERT_TRUE(store_.wait_compacted(model_.compact_revision()).ok());
    }
  }
  const auto keys = store_.range(kZero, kZero);
  EXPECT_EQ(store_->stats().keys, static_cast<uint64_t>(keys.count()));
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, testing::Range<uint64_t>(1, 21));

// Few keys, so that each has hundreds of versions, with deletes and compactions between.
class LongHistoryTest : public ModelTest {
 protected:
  LongHistoryTest() : ModelTest(RandomRequests(GetParam(), 3, 1), 120) {}

  void read_every_revision() {
    const auto read_at = [this](const std::string& key, const std::string& range_end, int64_t at) {
      const auto r = range_request(key, range_end, at);
      etcdserverpb::RangeResponse expected, response;
      const Status e = model_.range(r, &expected), s = store_->range(r, &response);
      expect_same(r, e, expected, s, response);
    };
    const int64_t oldest = std::max<int64_t>(model_.compact_revision() - 1, 1);
    for (const auto& [key, versions] : model_.versions()) {
      const auto newer =
          std::count_if(versions.begin(), versions.end(), [&](const auto& v) { return v.main > oldest; });
      longest_ = std::max(longest_, newer);
    }
    for (int64_t at = oldest; at <= model_.revision() + 1; ++at) {
      read_at(kZero, kZero, at);
      for (const auto& [key, versions] : model_.versions()) read_at(key, "", at);
      if (HasFatalFailure()) return;
    }
  }

  int64_t longest_ = 0;  // history of a key that was read
};

TEST_P(LongHistoryTest, Store_answers_as_the_model_does_at_every_revision) {
  for (int step = 0; step < 1200; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    batch();
    if (HasFatalFailure()) return;
    read();
    if (HasFatalFailure()) return;
    if (requests_.random().one_in(100)) {
      ASSERT_TRUE(store_->flush().ok());
    }
    if (requests_.random().one_in(200)) store_.reopen();
    if (requests_.random().one_in(100) && model_.compact_revision() > 0) {
      ASSERT_TRUE(store_.wait_compacted(model_.compact_revision()).ok());
    }
    if (step % 300 == 299) {
      read_every_revision();
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(longest_, 50);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LongHistoryTest, testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace kv::store
