// Leases as state: grants, revokes, what hangs on them, and what a directory of an earlier version gets.
#include <rocksdb/db.h>

#include "store/leases.h"
#include "temp_store.h"

namespace kv::store {
namespace {

using Keys = std::vector<std::string>;

etcdserverpb::LeaseGrantRequest grant_request(int64_t id, int64_t ttl = 60) {
  etcdserverpb::LeaseGrantRequest r;
  r.set_id(id);
  r.set_ttl(ttl);
  return r;
}

etcdserverpb::LeaseRevokeRequest revoke_request(int64_t id) {
  etcdserverpb::LeaseRevokeRequest r;
  r.set_id(id);
  return r;
}

etcdserverpb::PutRequest leased(const std::string& key, int64_t lease) {
  auto r = put_request(key, "v");
  r.set_lease(lease);
  return r;
}

class LeaseTest : public testing::Test {
 protected:
  // All commands of one batch; each answers its status.
  std::vector<Status> batch(const std::vector<std::function<Status(ApplyBatch&)>>& commands, bool commit = true) {
    const auto b = store_->begin();
    std::vector<Status> out;
    for (const auto& command : commands) out.push_back(command(*b));
    if (commit) {
      EXPECT_TRUE(b->commit(store_->applied_index() + 1, 1).ok());
    }
    return out;
  }
  static std::function<Status(ApplyBatch&)> grant(int64_t id, int64_t ttl = 60) {
    return [=](ApplyBatch& b) {
      etcdserverpb::LeaseGrantResponse response;
      return b.lease_grant(grant_request(id, ttl), &response);
    };
  }
  static std::function<Status(ApplyBatch&)> revoke(int64_t id) {
    return [=](ApplyBatch& b) {
      etcdserverpb::LeaseRevokeResponse response;
      return b.lease_revoke(revoke_request(id), &response);
    };
  }
  static std::function<Status(ApplyBatch&)> put(const std::string& key, int64_t lease) {
    return [=](ApplyBatch& b) {
      etcdserverpb::PutResponse response;
      return b.put(leased(key, lease), &response);
    };
  }
  static std::function<Status(ApplyBatch&)> checkpoint(int64_t id, int64_t remaining) {
    return [=](ApplyBatch& b) {
      etcdserverpb::LeaseCheckpointRequest request;
      request.add_checkpoints()->set_id(id);
      request.mutable_checkpoints(0)->set_remaining_ttl(remaining);
      etcdserverpb::LeaseCheckpointResponse response;
      return b.lease_checkpoint(request, &response);
    };
  }
  Keys keys(int64_t id) { return store_->lease_keys(id).value(); }

  TempStore store_;
};

TEST_F(LeaseTest, Answers_in_etcds_words) {
  const auto answers = batch({grant(1), grant(1), grant(0), grant(2, 9'000'000'001), grant(3, 9'000'000'000), revoke(7),
                              put("k", 7), put("k", 1)});
  EXPECT_TRUE(answers[0].ok());
  EXPECT_EQ(answers[1], Status(Code::kFailedPrecondition, "etcdserver: lease already exists"));
  EXPECT_EQ(answers[2], Status(Code::kNotFound, "etcdserver: requested lease not found"));
  EXPECT_EQ(answers[3], Status(Code::kOutOfRange, "etcdserver: too large lease TTL"));
  EXPECT_TRUE(answers[4].ok());
  EXPECT_EQ(answers[5], Status(Code::kNotFound, "etcdserver: requested lease not found"));
  EXPECT_EQ(answers[6], Status(Code::kNotFound, "etcdserver: requested lease not found"));
  EXPECT_TRUE(answers[7].ok());
}

TEST_F(LeaseTest, Keys_die_with_their_lease_in_one_revision_and_in_order) {
  batch({grant(1), put("c", 1), put("a", 1)});
  batch({put("b", 1), put("other", 0)});
  const int64_t before = store_->revision().value();
  EXPECT_EQ(keys(1), (Keys{"a", "b", "c"}));
  ASSERT_TRUE(batch({revoke(1)})[0].ok());
  EXPECT_EQ(store_->revision().value(), before + 1);
  EXPECT_EQ(store_.list(kZero, kZero), "other=v");
  EXPECT_EQ(store_.list(kZero, kZero, before), "a=v b=v c=v other=v") << "history keeps them";
  EXPECT_EQ(keys(1), Keys());
  EXPECT_TRUE(store_->leases().empty());
}

TEST_F(LeaseTest, A_lease_without_keys_goes_without_a_revision) {
  batch({grant(1)});
  ASSERT_TRUE(batch({revoke(1)})[0].ok());
  EXPECT_EQ(store_->revision().value(), 1);
}

// Whoever speaks of a lease that is gone must not be taken to mean the next one of its id.
TEST_F(LeaseTest, One_that_is_granted_anew_is_another_lease) {
  batch({grant(1), grant(2)});
  const uint64_t first = store_->lease(1)->grant;
  EXPECT_NE(store_->lease(2)->grant, first);
  batch({revoke(1)});
  ASSERT_TRUE(store_->flush().ok());
  store_.reopen();
  batch({grant(1)});
  const uint64_t second = store_->lease(1)->grant;
  EXPECT_GT(second, first);
  batch({grant(3), revoke(3), grant(3)});
  EXPECT_GT(store_->lease(3)->grant, second + 1);
  ASSERT_TRUE(store_->flush().ok());
  store_.reopen();
  EXPECT_EQ(store_->lease(1)->grant, second);
}

TEST_F(LeaseTest, A_put_takes_the_key_to_its_own_lease) {
  batch({grant(1), grant(2), put("a", 1), put("b", 1), put("c", 1), put("d", 1)});
  auto keep = put_request("d", "new");
  keep.set_ignore_lease(true);
  ASSERT_TRUE(store_.put(keep).ok());
  batch({put("a", 0), put("b", 2)});
  store_.del("c");
  EXPECT_EQ(keys(1), Keys{"d"});
  EXPECT_EQ(keys(2), Keys{"b"});
  ASSERT_TRUE(batch({revoke(1)})[0].ok());
  EXPECT_EQ(store_.list(kZero, kZero), "a=v b=v");
}

TEST_F(LeaseTest, A_batch_sees_its_own_leases_and_keys) {
  batch({grant(1), put("a", 1)});
  const auto answers = batch({grant(2), put("b", 2), put("a", 2), revoke(2), grant(2), put("c", 2), put("c", 1)});
  for (const Status& answer : answers) EXPECT_TRUE(answer.ok()) << answer.to_string();
  EXPECT_EQ(store_.list(kZero, kZero), "c=v");
  EXPECT_EQ(keys(1), Keys{"c"});
  EXPECT_EQ(keys(2), Keys());
}

TEST_F(LeaseTest, A_batch_that_is_not_committed_leaves_no_lease) {
  batch({grant(1), put("a", 1)});
  batch({grant(2), put("b", 2), revoke(1)}, false);
  EXPECT_EQ(store_->leases().size(), 1u);
  EXPECT_EQ(keys(1), Keys{"a"});
  EXPECT_EQ(keys(2), Keys());
}

TEST_F(LeaseTest, A_transaction_that_fails_moves_no_key) {
  batch({grant(1), put("a", 1)});
  etcdserverpb::TxnRequest txn;
  *txn.add_success()->mutable_request_put() = leased("a", 0);
  *txn.add_success()->mutable_request_put() = leased("b", 9);
  EXPECT_EQ(store_.txn(txn).status().text(), "etcdserver: requested lease not found");
  EXPECT_EQ(keys(1), Keys{"a"});
}

TEST_F(LeaseTest, Leases_outlive_a_restart) {
  batch({grant(1, 10), grant(-5, 20), grant(3, 30), put("a", 1), put("b", -5), checkpoint(3, 17), checkpoint(99, 1)});
  batch({revoke(1)});
  store_.reopen();
  const auto leases = store_->leases();
  ASSERT_EQ(leases.size(), 2u);
  EXPECT_EQ(leases[0].id, -5);
  EXPECT_EQ(leases[0].ttl_s, 20);
  EXPECT_EQ(leases[1].remaining_s, 17);
  EXPECT_EQ(keys(-5), Keys{"b"});
  batch({checkpoint(3, 0)});
  EXPECT_EQ(store_->lease(3)->remaining_s, 0);
}

TEST_F(LeaseTest, A_directory_made_before_there_were_leases_is_opened) {
  store_.put("k", "v");
  store_.close();
  {
    // As such a directory was: without the column family.
    std::vector<std::string> names;
    ASSERT_TRUE(rocksdb::DB::ListColumnFamilies(rocksdb::DBOptions(), store_.path(), &names).ok());
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const auto& name : names) families.emplace_back(name, rocksdb::ColumnFamilyOptions());
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(rocksdb::DBOptions(), store_.path(), families, &handles, &db).ok());
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == "lease") {
        ASSERT_TRUE(db->DropColumnFamily(handles[i]).ok());
      }
      ASSERT_TRUE(db->DestroyColumnFamilyHandle(handles[i]).ok());
    }
    delete db;
  }
  store_.open();
  EXPECT_EQ(store_.get("k"), "v");
  batch({grant(1), put("a", 1)});
  store_.reopen();
  EXPECT_EQ(keys(1), Keys{"a"});
}

TEST_F(LeaseTest, Damage_is_never_taken_for_no_lease) {
  Lease lease{1, 60, 30}, back;
  const std::string good = encode_lease(lease);
  ASSERT_TRUE(decode_lease(good, &back));
  EXPECT_EQ(back.ttl_s, 60);
  EXPECT_EQ(back.remaining_s, 30);
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(decode_lease(good.substr(0, size), &back));
  EXPECT_FALSE(decode_lease(good + "x", &back));
  EXPECT_FALSE(decode_lease("\2" + good.substr(1), &back));
  EXPECT_FALSE(decode_lease(encode_lease({1, 5, 6}), &back)) << "more remaining than granted";
}

}  // namespace
}  // namespace kv::store
