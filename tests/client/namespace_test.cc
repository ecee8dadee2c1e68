// Client::in_namespace(): what goes out gets the prefix, what comes back loses it, and nothing outside is reached.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/embedded.h"
#include "client/mutex.h"
#include "client/range.h"

namespace kv::client {
namespace {

using testing::ElementsAre;

std::vector<std::string> keys_of(const std::vector<KeyValue>& kvs) {
  std::vector<std::string> keys;
  for (const KeyValue& kv : kvs) keys.push_back(kv.key);
  return keys;
}

class ClientNamespace : public Embedded {
 protected:
  void SetUp() override {
    Embedded::SetUp();
    view_ = client_->in_namespace(prefix_);
    // Neighbours on both sides, which must never be seen or touched.
    below_ = prefix_.substr(0, prefix_.size() - 1) + ".";
    above_ = prefix_.substr(0, prefix_.size() - 1) + "0";
    ASSERT_TRUE(client_->put(below_, "below").ok());
    ASSERT_TRUE(client_->put(above_, "above").ok());
  }
  void TearDown() override {
    EXPECT_EQ(client_->get(below_)->kvs.at(0).version, 1);
    EXPECT_EQ(client_->get(above_)->kvs.at(0).version, 1);
  }

  std::unique_ptr<Client> view_;
  std::string below_;
  std::string above_;
};

TEST_F(ClientNamespace, Keys_are_prefixed_on_the_way_out_and_stripped_on_the_way_back) {
  ASSERT_TRUE(view_->put("a", "1").ok());
  EXPECT_EQ(client_->get(key("a"))->kvs.at(0).value, "1");
  EXPECT_EQ(view_->get("a")->kvs.at(0).key, "a");
  EXPECT_EQ(view_->put("a", "2", {.prev_kv = true})->prev_kv->key, "a");
  EXPECT_EQ(view_->remove("a", {.prev_kv = true})->prev_kvs.at(0).key, "a");
  EXPECT_EQ(client_->get(key("a"))->count, 0);
}

TEST_F(ClientNamespace, Ranges_end_where_the_namespace_ends) {
  for (const char* k : {"\x01", "a", "b", "c", "\xff\xff"}) ASSERT_TRUE(view_->put(k, k).ok());
  EXPECT_THAT(keys_of(view_->get("a", {.range_end = "c"})->kvs), ElementsAre("a", "b"));
  EXPECT_THAT(keys_of(view_->get("b", {.range_end = unbounded()})->kvs), ElementsAre("b", "c", "\xff\xff"));
  // Every key, as a client of the whole key space would ask for them.
  EXPECT_EQ(view_->get(unbounded(), {.range_end = unbounded()})->count, 5);
  EXPECT_THAT(keys_of(view_->get("\xff", {.range_end = prefix_end("\xff")})->kvs), ElementsAre("\xff\xff"));
  std::vector<KeyValue> all;
  Range range(*view_, unbounded(), {.range_end = unbounded(), .page_keys = 2});
  for (const KeyValue& kv : range) all.push_back(kv);
  EXPECT_EQ(all.size(), 5u);
  EXPECT_EQ(view_->remove(unbounded(), {.range_end = unbounded()})->deleted, 5);
}

TEST_F(ClientNamespace, Transactions_are_prefixed_in_all_their_parts) {
  ASSERT_TRUE(view_->put("a", "1").ok());
  Compare all_of_one_version = compare_version(unbounded(), Comparison::kEqual, 1);
  all_of_one_version.range_end = unbounded();
  const auto done = view_->commit(
      Txn()
          .when({compare_value("a", Comparison::kEqual, "1"), all_of_one_version})
          .then({put_op("b", "2", {.prev_kv = true}), get_op("a", {.range_end = unbounded()}),
                 txn_op(Txn().when({compare_version("none", Comparison::kGreater, 0)}).otherwise({get_op("b")})),
                 remove_op("a", {.prev_kv = true})}));
  ASSERT_TRUE(done.ok()) << done.status().to_string();
  ASSERT_TRUE(done->succeeded);
  EXPECT_THAT(keys_of(std::get<GetResponse>(done->responses.at(1).answer).kvs), ElementsAre("a", "b"));
  const auto& nested = std::get<TxnResponse>(done->responses.at(2).answer);
  EXPECT_THAT(keys_of(std::get<GetResponse>(nested.responses.at(0).answer).kvs), ElementsAre("b"));
  EXPECT_THAT(keys_of(std::get<RemoveResponse>(done->responses.at(3).answer).prev_kvs), ElementsAre("a"));
  EXPECT_EQ(client_->get(key("b"))->kvs.at(0).value, "2");
}

TEST_F(ClientNamespace, Watches_see_the_namespace_and_no_more) {
  auto watcher = view_->watch(unbounded(), {.range_end = unbounded(), .prev_kv = true});
  ASSERT_TRUE(watcher.wait_created(at_most(std::chrono::seconds(30))).ok());
  ASSERT_TRUE(client_->put(below_ + "x", "outside").ok());
  ASSERT_TRUE(view_->put("a", "1").ok());
  ASSERT_TRUE(view_->remove("a").ok());
  std::vector<Event> events;
  while (events.size() < 2) {
    auto next = watcher.next(at_most(std::chrono::seconds(30)));
    ASSERT_TRUE(next.ok()) << next.status().to_string();
    events.insert(events.end(), next->events.begin(), next->events.end());
  }
  EXPECT_EQ(events[0].kv.key, "a");
  EXPECT_EQ(events[1].type, EventType::kDelete);
  EXPECT_EQ(events[1].kv.key, "a");
  EXPECT_EQ(events[1].prev_kv->key, "a");
}

TEST_F(ClientNamespace, Views_nest_and_outlive_the_client_that_they_came_from) {
  auto inner = view_->in_namespace("inner/");
  EXPECT_EQ(inner->namespace_prefix(), prefix_ + "inner/");
  auto origin = connect();
  auto kept = origin->in_namespace(prefix_);
  auto watcher = kept->watch("inner/a");
  ASSERT_TRUE(watcher.wait_created(at_most(std::chrono::seconds(30))).ok());
  origin.reset();
  ASSERT_TRUE(inner->put("a", "1").ok());
  const auto next = watcher.next(at_most(std::chrono::seconds(30)));
  ASSERT_TRUE(next.ok()) << next.status().to_string();
  EXPECT_EQ(next->events.at(0).kv.key, "inner/a");
  EXPECT_EQ(kept->get("inner/a")->kvs.at(0).value, "1");
}

TEST_F(ClientNamespace, Locks_and_leases_work_in_it) {
  const auto mine = session(*view_);
  Mutex mutex(*mine, "lock");
  ASSERT_TRUE(mutex.lock().ok());
  EXPECT_EQ(client_->get(key("lock/"), {.range_end = prefix_end(key("lock/"))})->count, 1);
  EXPECT_TRUE(view_->commit(Txn().when({mutex.is_owner()}).then({put_op("x", "")}))->succeeded);
  ASSERT_TRUE(client_->put(below_ + "leased", "", {.lease = mine->lease()}).ok());
  EXPECT_THAT(view_->lease_time_to_live(mine->lease(), true)->keys, ElementsAre(mutex.key()));
}

TEST_F(ClientNamespace, Empty_key_is_refused_as_the_server_does) {
  const Status refused(Code::kInvalidArgument, "etcdserver: key is not provided");
  EXPECT_EQ(client_->get("").status(), refused);
  EXPECT_EQ(view_->get("").status(), refused);
  EXPECT_EQ(view_->put("", "x").status(), refused);
  EXPECT_EQ(view_->remove("", {.range_end = unbounded()}).status(), refused);
  EXPECT_EQ(view_->commit(Txn().then({txn_op(Txn().then({put_op("", "x")}))})).status(), refused);
  EXPECT_EQ(view_->commit(Txn().when({compare_version("", Comparison::kEqual, 0)})).status(), refused);
}

}  // namespace
}  // namespace kv::client
