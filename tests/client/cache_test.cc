#include "client/cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "client/embedded.h"

namespace kv::client {
namespace {

using std::chrono::seconds;

class ClientCache : public Embedded {
 protected:
  std::unique_ptr<Cache> cache(CacheOptions options = {}) {
    auto made = Cache::create(*client_, prefix_, std::move(options));
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    return *std::move(made);
  }
  // Answers the revision.
  int64_t put(std::string_view name, std::string_view value) {
    const auto done = client_->put(key(name), value);
    EXPECT_TRUE(done.ok()) << done.status().to_string();
    return done->header.revision;
  }
  static std::string shown(const Cache& cache) {
    std::string text;
    for (const KeyValue& kv : cache.list()) text += kv.key.substr(kv.key.rfind('/') + 1) + '=' + kv.value + ' ';
    return text;
  }
};

Wait soon() { return at_most(seconds(60)); }

TEST_F(ClientCache, Shows_what_there_is_and_follows_what_changes) {
  put("a", "1");
  put("b", "1");
  const auto cached = cache();
  EXPECT_EQ(shown(*cached), "a=1 b=1 ");
  EXPECT_EQ(cached->size(), 2u);

  put("b", "2");
  put("c", "1");
  const auto removed = client_->remove(key("a"));
  ASSERT_TRUE(cached->wait_revision(removed->header.revision, soon()).ok());
  EXPECT_EQ(shown(*cached), "b=2 c=1 ");
  EXPECT_EQ(cached->get(key("a")), std::nullopt);
  EXPECT_EQ(cached->get(key("c"))->value, "1");
  EXPECT_EQ(cached->list(key("c")).size(), 1u);
  EXPECT_GE(cached->revision(), removed->header.revision);
  EXPECT_TRUE(cached->status().ok());
}

TEST_F(ClientCache, Waits_for_revisions_of_changes_elsewhere_too) {
  const auto cached = cache();
  const auto elsewhere = client_->put("/elsewhere", "1");
  ASSERT_TRUE(cached->wait_revision(elsewhere->header.revision, soon()).ok());
  EXPECT_EQ(cached->size(), 0u);
  EXPECT_EQ(
      cached->wait_revision(elsewhere->header.revision + 1'000'000, at_most(std::chrono::milliseconds(50))).code(),
      Code::kDeadlineExceeded);
}

TEST_F(ClientCache, Shows_changes_of_one_transaction_together) {
  const auto write = [&](int n) {
    const auto done =
        client_->commit(Txn().then({put_op(key("a"), std::to_string(n)), put_op(key("b"), std::to_string(n))}));
    EXPECT_TRUE(done.ok()) << done.status().to_string();
    return done->header.revision;
  };
  write(0);
  const auto cached = cache();
  std::atomic<bool> over{false};
  std::thread reader([&] {
    while (!over) {
      const auto both = cached->list();
      ASSERT_EQ(both.size(), 2u);
      ASSERT_EQ(both[0].value, both[1].value);
    }
  });
  int64_t last = 0;
  for (int n = 1; n <= 100; ++n) last = write(n);
  EXPECT_TRUE(cached->wait_revision(last, soon()).ok());
  over = true;
  reader.join();
  EXPECT_EQ(shown(*cached), "a=100 b=100 ");
}

TEST_F(ClientCache, Tells_changes_with_what_was_before) {
  put("a", "1");
  std::promise<void> all;
  std::vector<Event> told;
  const auto cached = cache({.on_change = [&](const Cache&, const std::vector<Event>& events) {
    told.insert(told.end(), events.begin(), events.end());
    if (told.size() == 3) all.set_value();
  }});
  put("a", "2");
  put("b", "1");
  ASSERT_TRUE(client_->remove(key("a")).ok());
  ASSERT_EQ(all.get_future().wait_for(seconds(60)), std::future_status::ready);
  EXPECT_EQ(told[0].type, EventType::kPut);
  EXPECT_EQ(told[0].kv.value, "2");
  EXPECT_EQ(told[0].prev_kv->value, "1");
  EXPECT_EQ(told[1].prev_kv, std::nullopt);
  EXPECT_EQ(told[2].type, EventType::kDelete);
  EXPECT_EQ(told[2].kv.key, key("a"));
  EXPECT_EQ(told[2].prev_kv->value, "2");
}

TEST_F(ClientCache, Reads_everything_anew_when_the_history_that_it_needs_is_compacted) {
  put("stays", "1");
  put("changes", "1");
  put("goes", "1");
  std::promise<void> stuck;
  std::promise<void> release;
  std::future<void> released = release.get_future();
  std::vector<std::string> told;
  const auto cached = cache({.on_change =
                                 [&](const Cache&, const std::vector<Event>& events) {
                                   if (told.empty()) {
                                     stuck.set_value();
                                     released.wait();
                                   }
                                   for (const Event& event : events) {
                                     const char* sign = event.type == EventType::kDelete ? "-" : "+";
                                     told.push_back(sign + event.kv.key.substr(prefix_.size()));
                                   }
                                 },
                             .buffer_bytes_max = 1});
  // The first change holds the cache up, the next fills its buffer, so the watch is paused before the others.
  put("first", "1");
  ASSERT_EQ(stuck.get_future().wait_for(seconds(60)), std::future_status::ready);
  for (int i = 0; i < 50; ++i) put("changes", std::to_string(i));
  ASSERT_TRUE(client_->remove(key("goes")).ok());
  const int64_t last = put("new", "1");
  ASSERT_TRUE(client_->compact(last, {.physical = true}).ok());
  release.set_value();

  ASSERT_TRUE(cached->wait_revision(last, soon()).ok());
  EXPECT_EQ(shown(*cached), "changes=49 first=1 new=1 stays=1 ");
  const int64_t behind = put("behind", "1");
  ASSERT_TRUE(cached->wait_revision(behind, soon()).ok()) << "it follows again";
  EXPECT_EQ(cached->get(key("behind"))->value, "1");
}

TEST_F(ClientCache, Works_in_a_namespace_and_for_all_keys_of_it) {
  const auto view = client_->in_namespace(prefix_);
  put("a", "1");
  auto cached = Cache::create(*view, "");
  ASSERT_TRUE(cached.ok()) << cached.status().to_string();
  const int64_t last = put("b", "2");
  ASSERT_TRUE((*cached)->wait_revision(last, soon()).ok());
  ASSERT_EQ((*cached)->size(), 2u);
  EXPECT_EQ((*cached)->get("b")->value, "2");
}

TEST_F(ClientCache, Ends_at_once_while_it_waits_and_another_thread_does) {
  auto cached = cache();
  std::stop_source stop;
  std::thread waits(
      [&] { EXPECT_EQ(cached->wait_revision(1'000'000'000, {.stop = stop.get_token()}).code(), Code::kCanceled); });
  stop.request_stop();
  waits.join();
  cached.reset();
}

}  // namespace
}  // namespace kv::client
