#include "client/async.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <vector>

#include "client/embedded.h"

namespace kv::client {
namespace {

using std::chrono::seconds;

class ClientAsync : public Embedded {
 protected:
  void SetUp() override {
    Embedded::SetUp();
    async_ = std::make_unique<Async>(*client_);
  }
  std::unique_ptr<Async> async_;
};

TEST_F(ClientAsync, Futures_bring_what_the_blocking_calls_answer) {
  const auto put = async_->put(key("a"), "1").get();
  ASSERT_TRUE(put.ok()) << put.status().to_string();
  const auto got = async_->get(key("a")).get();
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  ASSERT_EQ(got->kvs.size(), 1u);
  EXPECT_EQ(got->kvs[0].value, "1");
  EXPECT_EQ(got->kvs[0].mod_revision, put->header.revision);
  const auto done =
      async_->commit(Txn().when({compare_value(key("a"), Comparison::kEqual, "1")}).then({put_op(key("a"), "2")}))
          .get();
  ASSERT_TRUE(done.ok()) << done.status().to_string();
  EXPECT_TRUE(done->succeeded);
  const auto removed = async_->remove(key("a"), {.prev_kv = true}).get();
  ASSERT_TRUE(removed.ok()) << removed.status().to_string();
  EXPECT_EQ(removed->prev_kvs.at(0).value, "2");
  EXPECT_EQ(async_->put("", "x").get().status(), Status(Code::kInvalidArgument, "etcdserver: key is not provided"));
}

TEST_F(ClientAsync, Callbacks_may_make_the_next_call) {
  std::promise<std::string> last;
  async_->put(key("a"), "1", {}, {}, [&](Result<PutResponse> put) {
    EXPECT_TRUE(put.ok()) << put.status().to_string();
    async_->get(key("a"), {}, {}, [&](Result<GetResponse> got) {
      EXPECT_TRUE(got.ok()) << got.status().to_string();
      async_->commit(Txn().then({remove_op(key("a"))}), {}, [&](Result<TxnResponse> done) {
        EXPECT_TRUE(done.ok()) << done.status().to_string();
        async_->remove(key("a"), {}, {}, [&](Result<RemoveResponse> removed) {
          last.set_value(removed.ok() ? std::to_string(removed->deleted) : removed.status().to_string());
        });
      });
    });
  });
  auto future = last.get_future();
  ASSERT_EQ(future.wait_for(seconds(60)), std::future_status::ready);
  EXPECT_EQ(future.get(), "0");
}

TEST_F(ClientAsync, Many_are_on_their_way_at_a_time) {
  constexpr int kCalls = 1000;
  std::vector<std::future<Result<PutResponse>>> puts;
  for (int i = 0; i < kCalls; ++i)
    puts.push_back(async_->put(key(std::to_string(i)), "v", {}, {.timeout = seconds(60)}));
  for (auto& put : puts) {
    const auto done = put.get();
    ASSERT_TRUE(done.ok()) << done.status().to_string();
  }
  const auto all = client_->get(prefix_, {.range_end = prefix_end(prefix_), .count_only = true});
  EXPECT_EQ(all->count, kCalls);
}

TEST_F(ClientAsync, Works_in_a_namespace) {
  const auto view = client_->in_namespace(prefix_);
  Async async(*view);
  ASSERT_TRUE(async.put("a", "1").get().ok());
  EXPECT_EQ(value_of("a"), "1");
  EXPECT_EQ(async.get("a").get()->kvs.at(0).key, "a");
  EXPECT_EQ(async.put("", "x").get().status().code(), Code::kInvalidArgument);
  std::atomic<bool> told{false};
  async.put("", "x", {}, {}, [&](Result<PutResponse> put) { told = !put.ok(); });
  EXPECT_TRUE(told) << "refused at once";
}

}  // namespace
}  // namespace kv::client
