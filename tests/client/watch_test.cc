// Watches against real servers, also while these die.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <set>
#include <thread>

#include "client/servers.h"

namespace kv::client {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 30s;

class ClientWatch : public testing::TestWithParam<std::string> {};

// The next `count` events; fails the test when they don't come.
std::vector<Event> take_events(Watcher& watcher, size_t count) {
  std::vector<Event> events;
  while (events.size() < count) {
    auto next = watcher.next(at_most(kPatience));
    EXPECT_TRUE(next.ok()) << next.status().to_string() << ", behind " << events.size() << " of " << count;
    if (!next.ok()) break;
    for (auto& event : next->events) events.push_back(std::move(event));
  }
  return events;
}

std::vector<std::string> values(const std::vector<Event>& events) {
  std::vector<std::string> out;
  for (const auto& event : events) out.push_back(event.type == EventType::kDelete ? "-" : event.kv.value);
  return out;
}

void expect_in_order(const std::vector<Event>& events) {
  for (size_t i = 1; i < events.size(); ++i) {
    ASSERT_LT(events[i - 1].kv.mod_revision, events[i].kv.mod_revision) << "at " << i;
  }
}

TEST_P(ClientWatch, Past_and_present_come_in_order) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  ASSERT_TRUE(client->put("a/1", "one").ok());
  ASSERT_TRUE(client->put("b", "not watched").ok());
  ASSERT_TRUE(client->put("a/2", "two").ok());
  Watcher watcher = client->watch("a/", {.range_end = prefix_end("a/"), .start_revision = 1, .prev_kv = true});
  ASSERT_TRUE(watcher.wait_created(at_most(kPatience)).ok());
  ASSERT_TRUE(client->put("a/1", "three").ok());
  ASSERT_TRUE(client->remove("a/", {.range_end = prefix_end("a/")}).ok());
  const auto events = take_events(watcher, 5);
  EXPECT_THAT(values(events), testing::ElementsAre("one", "two", "three", "-", "-"));
  EXPECT_FALSE(events[0].prev_kv.has_value());
  EXPECT_EQ(events[2].prev_kv->value, "one");
  EXPECT_EQ(events[3].prev_kv->value, "three");
  EXPECT_EQ(events[3].kv.mod_revision, events[4].kv.mod_revision);
}

TEST_P(ClientWatch, From_now_on_misses_nothing_behind_created) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  ASSERT_TRUE(client->put("k", "before").ok());
  Watcher watcher = client->watch("k");
  const auto created = watcher.wait_created(at_most(kPatience));
  ASSERT_TRUE(created.ok()) << created.status().to_string();
  const auto put = client->put("k", "after");
  ASSERT_TRUE(put.ok());
  EXPECT_EQ(*created + 1, put->header.revision);
  EXPECT_THAT(values(take_events(watcher, 1)), testing::ElementsAre("after"));
  EXPECT_EQ(watcher.next(at_most(1ms)).status().code(), Code::kDeadlineExceeded);
}

TEST_P(ClientWatch, Filters_leave_puts_or_deletions_out) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  Watcher puts = client->watch("k", {.start_revision = 1, .no_delete = true});
  Watcher deletions = client->watch("k", {.start_revision = 1, .no_put = true});
  ASSERT_TRUE(client->put("k", "1").ok());
  ASSERT_TRUE(client->remove("k").ok());
  ASSERT_TRUE(client->put("k", "2").ok());
  ASSERT_TRUE(client->remove("k").ok());
  EXPECT_THAT(values(take_events(puts, 2)), testing::ElementsAre("1", "2"));
  EXPECT_THAT(values(take_events(deletions, 2)), testing::ElementsAre("-", "-"));
}

TEST_P(ClientWatch, Compacted_start_ends_with_the_revision_to_start_from) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->put("k", std::to_string(i)).ok());
  ASSERT_TRUE(client->compact(4).ok());
  Watcher watcher = client->watch("k", {.start_revision = 2});
  const auto next = watcher.next(at_most(kPatience));
  EXPECT_EQ(next.status(), Status(Code::kOutOfRange, "etcdserver: mvcc: required revision has been compacted"));
  ASSERT_TRUE(watcher.end().has_value());
  EXPECT_EQ(watcher.end()->compact_revision, 4);
  Watcher again = client->watch("k", {.start_revision = watcher.end()->compact_revision});
  EXPECT_THAT(values(take_events(again, 3)), testing::ElementsAre("2", "3", "4"));
}

TEST_P(ClientWatch, Progress_asked_for_comes_to_every_watch_behind_its_events) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  Watcher a = client->watch("a");
  Watcher b = client->watch("b");
  ASSERT_TRUE(a.wait_created(at_most(kPatience)).ok());
  ASSERT_TRUE(b.wait_created(at_most(kPatience)).ok());
  const auto put = client->put("a", "1");
  ASSERT_TRUE(put.ok());
  EXPECT_EQ(take_events(a, 1).size(), 1u);
  a.request_progress();
  for (Watcher* watcher : {&a, &b}) {
    const auto next = watcher->next(at_most(kPatience));
    ASSERT_TRUE(next.ok()) << next.status().to_string();
    EXPECT_TRUE(next->progress());
    EXPECT_EQ(next->header.revision, put->header.revision);
  }
}

TEST_P(ClientWatch, Fragments_are_put_together) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  // One answer for all of these would be larger than the server's limit for a message.
  constexpr size_t kCount = 60;
  const std::string large(100'000, 'x');
  for (size_t i = 0; i < kCount; ++i) ASSERT_TRUE(client->put("k", large + std::to_string(i)).ok());
  Watcher watcher = client->watch("k", {.start_revision = 1});
  const auto events = take_events(watcher, kCount);
  ASSERT_EQ(events.size(), kCount);
  for (size_t i = 0; i < kCount; ++i) ASSERT_EQ(events[i].kv.value, large + std::to_string(i));
}

TEST_P(ClientWatch, Slow_consumer_falls_behind_alone_and_misses_nothing) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  constexpr int kCount = 300;
  const std::string value(4000, 'x');
  Watcher slow = client->watch("k", {.start_revision = 1, .buffer_bytes_max = 64 * 1024});
  Watcher quick = client->watch("k", {.start_revision = 1});
  for (int i = 0; i < kCount; ++i) ASSERT_TRUE(client->put("k", value + std::to_string(i)).ok());
  const auto all = take_events(quick, kCount);
  const auto late = take_events(slow, kCount);
  expect_in_order(all);
  EXPECT_EQ(late, all);
}

TEST_P(ClientWatch, Slow_consumer_of_compacted_history_is_told) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  // Both are there before the first put: a watch that starts in the past may get all of it in one response, and the
  // bound never cuts a response in two.
  Watcher slow = client->watch("k", {.buffer_bytes_max = 1000});
  Watcher quick = client->watch("k");
  ASSERT_TRUE(slow.wait_created(at_most(kPatience)).ok());
  ASSERT_TRUE(quick.wait_created(at_most(kPatience)).ok());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(client->put("k", std::string(500, 'x')).ok());
  const auto all = take_events(quick, 100);
  ASSERT_TRUE(client->compact(all.back().kv.mod_revision).ok());
  int64_t last = 0;
  for (;;) {
    const auto next = slow.next(at_most(kPatience));
    if (!next.ok()) {
      EXPECT_EQ(next.status().code(), Code::kOutOfRange) << next.status().to_string();
      break;
    }
    last = next->events.back().kv.mod_revision;
  }
  EXPECT_LT(last, all.back().kv.mod_revision) << "the bound didn't hold anything back";
  EXPECT_EQ(slow.end()->compact_revision, all.back().kv.mod_revision);
}

TEST_P(ClientWatch, Callbacks_come_in_order_and_end_with_the_watcher) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  std::mutex mutex;
  std::vector<Event> seen;
  std::promise<void> complete;
  constexpr size_t kCount = 50;
  auto watcher = std::make_unique<Watcher>(
      client->watch("k", {.start_revision = 1}, {.on_response = [&](WatchResponse&& response) {
                      const std::lock_guard lock(mutex);
                      for (auto& event : response.events) seen.push_back(std::move(event));
                      if (seen.size() == kCount) complete.set_value();
                    }}));
  for (size_t i = 0; i < kCount; ++i) ASSERT_TRUE(client->put("k", std::to_string(i)).ok());
  ASSERT_EQ(complete.get_future().wait_for(kPatience), std::future_status::ready);
  watcher.reset();
  expect_in_order(seen);
  ASSERT_TRUE(client->put("k", "unseen").ok());
  Watcher later = client->watch("k", {.start_revision = seen.back().kv.mod_revision + 1});
  EXPECT_EQ(take_events(later, 1).size(), 1u);
  const std::lock_guard lock(mutex);
  EXPECT_EQ(seen.size(), kCount);
}

TEST_P(ClientWatch, Callback_may_destroy_its_own_watcher) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  std::unique_ptr<Watcher> watcher;
  std::promise<void> destroyed;
  watcher = std::make_unique<Watcher>(client->watch("k", {}, {.on_response = [&](WatchResponse&&) {
                                                      watcher.reset();
                                                      destroyed.set_value();
                                                    }}));
  ASSERT_TRUE(watcher->wait_created(at_most(kPatience)).ok());
  ASSERT_TRUE(client->put("k", "1").ok());
  EXPECT_EQ(destroyed.get_future().wait_for(kPatience), std::future_status::ready);
}

TEST_P(ClientWatch, Watcher_outlives_its_client) {
  Servers servers(GetParam(), 1);
  auto client = servers.client();
  Watcher watcher = client->watch("k");
  ASSERT_TRUE(watcher.wait_created(at_most(kPatience)).ok());
  client.reset();
  EXPECT_EQ(watcher.next(at_most(kPatience)).status().code(), Code::kCanceled);
}

TEST_P(ClientWatch, Stop_ends_a_wait_and_not_the_watch) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  Watcher watcher = client->watch("k");
  ASSERT_TRUE(watcher.wait_created(at_most(kPatience)).ok());
  std::stop_source stop;
  auto waiting = std::async(std::launch::async, [&] { return watcher.next({.stop = stop.get_token()}).status(); });
  stop.request_stop();
  EXPECT_EQ(waiting.get().code(), Code::kCanceled);
  ASSERT_TRUE(client->put("k", "1").ok());
  EXPECT_EQ(take_events(watcher, 1).size(), 1u);
}

TEST_P(ClientWatch, Restarted_server_loses_and_doubles_nothing) {
  Servers servers(GetParam(), 1);
  const auto client = servers.client();
  Watcher watcher = client->watch("k", {.start_revision = 1});
  std::vector<Event> events;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(client->put("k", std::to_string(10 * round + i)).ok());
    if (round == 1) {
      for (auto& event : take_events(watcher, 15)) events.push_back(std::move(event));
    }
    servers.restart(0);
    ASSERT_TRUE(servers.cluster.wait_ready());
  }
  ASSERT_TRUE(client->put("k", "30").ok());
  for (auto& event : take_events(watcher, 31 - events.size())) events.push_back(std::move(event));
  ASSERT_EQ(events.size(), 31u);
  expect_in_order(events);
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].kv.value, std::to_string(i));
}

TEST_P(ClientWatch, Killed_leaders_lose_and_double_nothing) {
  Servers servers(GetParam(), 3);
  const auto client = servers.client();
  std::vector<std::unique_ptr<Client>> clients;  // each begins at another member
  std::vector<Watcher> watchers;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(connect(
        {servers.cluster.endpoint(i), servers.cluster.endpoint((i + 1) % 3), servers.cluster.endpoint((i + 2) % 3)}));
    watchers.push_back(clients.back()->watch("k", {.range_end = prefix_end("k"), .start_revision = 1}));
    // And one that begins now, which is before the first put.
    watchers.push_back(clients.back()->watch("k", {.range_end = prefix_end("k")}));
    ASSERT_TRUE(watchers.back().wait_created(at_most(kPatience)).ok());
  }
  std::atomic<bool> done{false};
  std::set<std::string> acknowledged;
  std::thread writer([&] {
    for (int i = 0; !done; ++i) {
      const std::string value = std::to_string(i);
      if (client->put("k" + std::to_string(i % 7), value).ok()) acknowledged.insert(value);
    }
  });
  for (int round = 0; round < 3; ++round) servers.kill_leader_and_restart();
  done = true;
  writer.join();
  ASSERT_TRUE(client->put("k-end", "end").ok());

  std::vector<Event> first;
  for (size_t w = 0; w < watchers.size(); ++w) {
    std::vector<Event> events;
    while (events.empty() || events.back().kv.value != "end") {
      auto batch = take_events(watchers[w], 1);
      ASSERT_FALSE(batch.empty()) << "watcher " << w;
      for (auto& event : batch) events.push_back(std::move(event));
    }
    expect_in_order(events);
    if (w == 0) {
      first = events;
    } else {
      EXPECT_EQ(events.size(), first.size());
      EXPECT_TRUE(events == first) << "watcher " << w << " saw another history than watcher 0";
    }
  }
  for (const auto& event : first) acknowledged.erase(event.kv.value);
  EXPECT_TRUE(acknowledged.empty()) << acknowledged.size() << " acknowledged puts were not seen";
}

INSTANTIATE_TEST_SUITE_P(Servers, ClientWatch, kinds(), [](const auto& i) { return i.param; });

}  // namespace
}  // namespace kv::client
