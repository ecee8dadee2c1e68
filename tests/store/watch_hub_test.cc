#include "store/watch_hub.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "store/change_source.h"
#include "store/watch_hub_thread.h"
#include "temp_store.h"
#include "watch_client.h"

namespace kv::store {
namespace {

using Kind = WatchReply::Kind;

class WatchHubTest : public testing::Test {
 protected:
  explicit WatchHubTest(const StoreOptions& store_options = StoreOptions()) : store_(store_options) {}

  void make_hub() { hub_ = std::make_unique<WatchHub>(store_->changes(), &rights_, options_); }
  WatchHub& hub() {
    if (!hub_) make_hub();
    return *hub_;
  }

  struct Open {
    std::shared_ptr<WatchClient> sink = std::make_shared<WatchClient>();
    WatchHub::Stream* stream = nullptr;
  };
  Open open() {
    Open o;
    o.stream = hub().open(o.sink, now_ms_);
    return o;
  }
  void settle() {
    while (hub().step(now_ms_)) {
    }
  }
  // All that a client was sent since it was last asked, in short: "created 0@5", "put a=1@6", "delete a@7", ...
  std::vector<std::string> told(Open& o) {
    settle();
    std::vector<std::string> out;
    while (!o.sink->replies.empty()) {
      const WatchReply r = o.sink->take(hub(), o.stream);
      settle();
      const std::string id = std::to_string(r.watch_id), at = "@" + std::to_string(r.revision);
      switch (r.kind) {
        case Kind::kCreated: out.push_back("created " + id + at + (r.reason.empty() ? "" : " " + r.reason)); break;
        case Kind::kCanceled:
          out.push_back("canceled " + id + at + " compacted " + std::to_string(r.compact_revision) + r.reason);
          break;
        case Kind::kProgress: out.push_back("progress " + id + at); break;
        case Kind::kFailed: out.push_back("failed " + r.reason); break;
        case Kind::kEvents: {
          std::string events = id + ":";
          for (const auto& e : r.events) {
            events += e.type() == mvccpb::Event::PUT ? " put " + e.kv().key() + "=" + e.kv().value()
                                                     : " delete " + e.kv().key();
            events += "@" + std::to_string(e.kv().mod_revision());
            if (e.has_prev_kv()) events += " was " + e.prev_kv().value();
          }
          out.push_back(events + (r.more ? " ..." : ""));
        }
      }
    }
    return out;
  }
  using Told = std::vector<std::string>;

  TempStore store_;
  WatchHubOptions options_;
  std::atomic<uint64_t> rights_{0};
  std::unique_ptr<WatchHub> hub_;
  int64_t now_ms_ = 0;
};

TEST_F(WatchHubTest, A_watch_of_the_present_gets_what_comes_after_its_creation) {
  store_.put("a", "0");
  Open o = open();
  hub().create(o.stream, {.key = "a"});
  store_.put("a", "1");
  store_.put("b", "1");
  store_.del("a");
  EXPECT_EQ(told(o), (Told{"created 0@2", "0: put a=1@3 delete a@5"}));
}

TEST_F(WatchHubTest, Ranges_prefixes_and_all_keys) {
  Open o = open();
  hub().create(o.stream, {.key = "b", .range_end = "d"});
  hub().create(o.stream, {.key = "c", .range_end = kZero});
  hub().create(o.stream, {.key = kZero, .range_end = kZero});
  hub().create(o.stream, {.key = "c"});
  (void)told(o);
  store_.put("c", "1");
  EXPECT_EQ(told(o), (Told{"3: put c=1@2", "2: put c=1@2", "0: put c=1@2", "1: put c=1@2"}));
  store_.put("d", "1");
  EXPECT_EQ(told(o), (Told{"2: put d=1@3", "1: put d=1@3"}));
}

TEST_F(WatchHubTest, A_watch_of_the_past_reads_history_and_then_joins) {
  for (int i = 0; i < 2000; ++i) store_.put("k" + std::to_string(i % 10), std::string(50, 'v'));
  options_.chunk_changes = 64;
  Open o = open();
  hub().create(o.stream, {.key = "k3", .start_revision = 2});
  settle();
  store_.put("k3", "new");
  settle();
  size_t events = 0;
  int64_t last = 0;
  while (!o.sink->replies.empty()) {
    for (const auto& e : o.sink->take(hub(), o.stream).events) {
      EXPECT_GT(e.kv().mod_revision(), last);
      last = e.kv().mod_revision();
      ++events;
    }
  }
  EXPECT_EQ(events, 201U);
  EXPECT_EQ(last, 2002);
}

TEST_F(WatchHubTest, A_watch_of_the_future_gets_neither_earlier_events_nor_earlier_progress) {
  Open o = open();
  options_.progress_interval_ms = 100;
  hub().create(o.stream, {.key = "a", .start_revision = 4, .progress_notify = true});
  hub().request_progress(o.stream);
  store_.put("a", "2");
  EXPECT_EQ(told(o), (Told{"created 0@1"}));
  store_.put("a", "3");
  now_ms_ += 1'000'000;
  EXPECT_EQ(told(o), (Told{}));
  store_.put("a", "4");
  EXPECT_EQ(told(o), (Told{"0: put a=4@4", "progress -1@4"}));
}

TEST_F(WatchHubTest, Refuses_in_etcds_words) {
  Open o = open();
  hub().create(o.stream, {.watch_id = 7, .key = "a"});
  hub().create(o.stream, {.watch_id = 7, .key = "b"});
  hub().create(o.stream, {.key = "b", .range_end = "a"});
  hub().create(o.stream, {.key = "b", .range_end = "b"});
  hub().create(o.stream, {.key = "b", .start_revision = -1});
  hub().cancel(o.stream, 99);
  EXPECT_EQ(told(o), (Told{"created 7@1", "created -1@1 mvcc: duplicate watch ID provided on the WatchStream",
                           "created -1@1 mvcc: watcher range is empty", "created -1@1 mvcc: watcher range is empty",
                           "created -1@1 etcdserver: mvcc: required revision has been compacted"}));
}

TEST_F(WatchHubTest, The_server_chooses_ids_that_are_free) {
  Open o = open();
  hub().create(o.stream, {.watch_id = 1, .key = "a"});
  for (int i = 0; i < 3; ++i) hub().create(o.stream, {.key = "a"});
  hub().cancel(o.stream, 0);
  hub().create(o.stream, {.key = "a"});
  EXPECT_EQ(told(o), (Told{"created 1@1", "created 0@1", "created 2@1", "created 3@1", "canceled 0@1 compacted 0",
                           "created 4@1"}));
}

TEST_F(WatchHubTest, A_compacted_start_is_created_and_then_canceled) {
  for (int i = 2; i <= 10; ++i) store_.put("a", std::to_string(i));
  ASSERT_TRUE(store_.compact(6).ok());
  Open o = open();
  hub().create(o.stream, {.key = "a", .start_revision = 5});
  EXPECT_EQ(told(o), (Told{"created 0@10", "canceled 0@0 compacted 6"}));
  EXPECT_EQ(hub().counts().watchers, 0U);
}

// etcd 18089 and 19179: a compaction must leave what a watch at its revision and after it needs.
TEST_F(WatchHubTest, At_and_after_the_compact_revision_nothing_is_lost) {
  store_.put("a", "2");
  store_.put("b", "3");
  store_.put("a", "4");
  store_.del("a");  // 5
  store_.del("b");  // 6
  store_.put("a", "7");
  for (int64_t revision = 2; revision <= 7; ++revision) {
    SCOPED_TRACE("compacted at " + std::to_string(revision));
    ASSERT_TRUE(store_.compact(revision).ok());
    for (const bool background_done : {false, true}) {
      if (background_done) {
        ASSERT_TRUE(store_.wait_compacted(revision).ok());
      }
      const Told all{"put a=2@2", "put b=3@3", "put a=4@4", "delete a@5", "delete b@6", "put a=7@7"};
      for (const int64_t start : {revision, revision + 1}) {
        Open o = open();
        hub().create(o.stream, {.key = "a", .range_end = "z", .start_revision = start});
        std::string expected = "0:";
        for (auto i = static_cast<size_t>(start - 2); i < all.size(); ++i) expected += " " + all[i];
        Told replies = told(o);
        ASSERT_GE(replies.size(), 1U);
        EXPECT_EQ(replies.size() > 1 ? replies[1] : "0:", expected);
        hub().close(o.stream);
      }
    }
  }
}

TEST_F(WatchHubTest, The_previous_value_is_that_of_the_revision_before) {
  store_.put("a", "2");
  store_.put("a", "3");
  store_.del("a");
  store_.put("a", "5");
  Open o = open();
  hub().create(o.stream, {.key = "a", .start_revision = 2, .prev_kv = true});
  hub().create(o.stream, {.key = "a", .start_revision = 2});
  EXPECT_EQ(told(o), (Told{"created 0@5", "created 1@5", "0: put a=2@2 put a=3@3 was 2 delete a@4 was 3 put a=5@5",
                           "1: put a=2@2 put a=3@3 delete a@4 put a=5@5"}));
  store_.put("a", "6");
  EXPECT_EQ(told(o), (Told{"0: put a=6@6 was 5", "1: put a=6@6"}));
  ASSERT_TRUE(store_.compact(3).ok());
  hub().create(o.stream, {.key = "a", .start_revision = 3, .prev_kv = true});
  EXPECT_EQ(told(o)[1], "2: put a=3@3 delete a@4 was 3 put a=5@5 put a=6@6 was 5") << "revision 2 is compacted";
}

TEST_F(WatchHubTest, Filters_leave_out_puts_or_deletes) {
  Open o = open();
  hub().create(o.stream, {.key = "a", .no_put = true});
  hub().create(o.stream, {.key = "a", .no_delete = true});
  (void)told(o);
  store_.put("a", "2");
  store_.del("a");
  EXPECT_EQ(told(o), (Told{"1: put a=2@2", "0: delete a@3"}));
}

TEST_F(WatchHubTest, Equal_watchers_share_one_encoding) {
  std::vector<Open> all;
  for (int i = 0; i < 50; ++i) {
    all.push_back(open());
    hub().create(all.back().stream, {.key = "a", .range_end = "b"});
    (void)told(all.back());
  }
  store_.put("a1", "v");
  settle();
  const void* const shared = all[0].sink->replies.front().shared;
  for (Open& o : all) EXPECT_EQ(o.sink->replies.front().shared, shared);
  EXPECT_EQ(hub().counts().groups, 1U);
}

TEST_F(WatchHubTest, Canceled_and_closed_watchers_leave_nothing_behind) {
  Open o = open(), p = open();
  for (int i = 0; i < 100; ++i) {
    hub().create(o.stream, {.key = "k" + std::to_string(i)});
    hub().create(p.stream, {.key = "k" + std::to_string(i), .start_revision = i % 3 == 0 ? 100 : 1});
  }
  settle();
  for (int i = 0; i < 100; ++i) hub().cancel(o.stream, i);
  EXPECT_EQ(hub().counts().watchers, 100U);
  hub().close(p.stream);
  EXPECT_EQ(hub().counts().watchers, 0U);
  EXPECT_EQ(hub().counts().groups, 0U);
  (void)told(o);
  store_.put("k1", "v");
  EXPECT_EQ(told(o), (Told{}));
}

TEST_F(WatchHubTest, Progress_is_told_to_the_idle_and_synced_only) {
  options_.progress_interval_ms = 100;
  Open o = open();
  hub().create(o.stream, {.key = "a", .progress_notify = true});
  hub().create(o.stream, {.key = "b", .progress_notify = true});
  hub().create(o.stream, {.key = "c"});
  (void)told(o);
  store_.put("a", "2");
  EXPECT_EQ(told(o), (Told{"0: put a=2@2"}));
  now_ms_ = 110;
  EXPECT_EQ(told(o), (Told{"progress 1@2"}));
  EXPECT_GT(hub().next_ms(), now_ms_);
  now_ms_ = 220;
  EXPECT_EQ(told(o), (Told{"progress 0@2", "progress 1@2"}));
}

TEST_F(WatchHubTest, Manual_progress_waits_until_all_are_synced_and_needs_a_watcher) {
  for (int i = 0; i < 10; ++i) store_.put("a", std::string(100, 'v'));
  options_.chunk_changes = 2;
  Open o = open();
  hub().request_progress(o.stream);
  EXPECT_EQ(told(o), (Told{})) << "nobody to speak for";
  hub().create(o.stream, {.key = "zzz"});
  hub().create(o.stream, {.key = "a", .start_revision = 2});
  hub().request_progress(o.stream);
  (void)hub().step(now_ms_);
  for (const WatchReply& reply : o.sink->replies) EXPECT_NE(reply.kind, Kind::kProgress);
  settle();
  EXPECT_EQ(o.sink->replies.back().kind, Kind::kProgress);
  EXPECT_EQ(o.sink->replies.back().watch_id, -1);
  EXPECT_EQ(o.sink->replies.back().revision, 11);
}

TEST_F(WatchHubTest, A_slow_stream_falls_behind_alone_and_within_its_bound) {
  options_.stream_bytes_max = 10'000;
  options_.chunk_bytes = 2'000;
  Open slow = open(), quick = open();
  hub().create(slow.stream, {.key = "a"});
  hub().create(quick.stream, {.key = "a"});
  size_t quick_events = 0;
  for (int i = 0; i < 500; ++i) {
    store_.put("a", std::string(500, 'v'));
    settle();
    while (!quick.sink->replies.empty()) quick_events += quick.sink->take(hub(), quick.stream).events.size();
  }
  EXPECT_EQ(quick_events, 500U);
  EXPECT_EQ(hub().counts().unsynced, 1U);
  EXPECT_LE(slow.sink->most_queued, 10'000U + 2'600U);
  // It reads on, and has all in the end.
  int64_t next = 2;
  (void)slow.sink->take(hub(), slow.stream);
  while (true) {
    settle();
    if (slow.sink->replies.empty()) break;
    for (const auto& e : slow.sink->take(hub(), slow.stream).events) ASSERT_EQ(e.kv().mod_revision(), next++);
    EXPECT_LE(slow.sink->most_queued, 10'000U + 2'600U);
  }
  EXPECT_EQ(next, 502);
  EXPECT_EQ(hub().counts().unsynced, 0U);
}

TEST_F(WatchHubTest, A_client_that_does_not_read_gets_no_further_answers_either) {
  options_.stream_bytes_max = 400;
  Open o = open();
  for (int i = 0; i < 100; ++i) hub().create(o.stream, {.key = "k" + std::to_string(i)});
  EXPECT_LE(o.sink->most_queued, 420U);
  EXPECT_GT(hub().held_requests(o.stream), 50U);
  EXPECT_EQ(told(o).size(), 100U);
  EXPECT_EQ(o.sink->held_requests, 0U);
}

TEST_F(WatchHubTest, A_compaction_that_overtakes_a_slow_stream_cancels_its_watchers) {
  options_.stream_bytes_max = 2'000;
  Open o = open();
  hub().create(o.stream, {.key = "a"});
  for (int i = 0; i < 50; ++i) {
    store_.put("a", std::string(200, 'v'));
    settle();
  }
  ASSERT_TRUE(store_.compact(50).ok());
  const Told replies = told(o);
  EXPECT_EQ(replies.back(), "canceled 0@0 compacted 50");
  EXPECT_EQ(hub().counts().watchers, 0U);
}

TEST_F(WatchHubTest, A_revision_is_never_split_unless_parts_are_asked_for) {
  options_.chunk_bytes = 1'000;
  options_.stream_bytes_max = 1 << 20;
  for (int i = 0; i < 100; ++i) store_.put("k" + std::to_string(100 + i), std::string(50, 'v'));
  Open whole = open(), parts = open();
  hub().create(whole.stream, {.key = "k", .range_end = "l", .start_revision = 102, .prev_kv = true});
  hub().create(parts.stream, {.key = "k", .range_end = "l", .start_revision = 102, .prev_kv = true, .fragment = true});
  (void)told(whole);
  (void)told(parts);
  for (const bool from_history : {false, true}) {
    SCOPED_TRACE(from_history);
    if (!from_history) {
      store_.del("k", "l");
    } else {
      for (Open* o : {&whole, &parts}) {
        hub().create(o->stream,
                     {.key = "k", .range_end = "l", .start_revision = 102, .prev_kv = true, .fragment = o == &parts});
      }
    }
    settle();
    if (from_history) {
      (void)whole.sink->take(hub(), whole.stream);
      (void)parts.sink->take(hub(), parts.stream);
    }
    const WatchReply reply = whole.sink->take(hub(), whole.stream);
    EXPECT_EQ(reply.events.size(), 100U);
    EXPECT_FALSE(reply.more);
    size_t events = 0, replies = 0;
    bool more = true;
    while (!parts.sink->replies.empty()) {
      EXPECT_TRUE(more);
      const WatchReply part = parts.sink->take(hub(), parts.stream);
      EXPECT_LE(part.bytes, 1'200U);
      events += part.events.size();
      more = part.more;
      ++replies;
      settle();
    }
    EXPECT_EQ(events, 100U);
    EXPECT_FALSE(more);
    EXPECT_GT(replies, 5U);
  }
}

TEST_F(WatchHubTest, Who_loses_the_right_is_canceled_before_what_comes_after) {
  Open o = open();
  hub().create(o.stream, {.key = "secret"});
  hub().create(o.stream, {.key = "open"});
  (void)told(o);
  store_.put("secret", "2");
  EXPECT_EQ(told(o), (Told{"0: put secret=2@2"}));
  o.sink->forbidden = "secret";
  rights_.fetch_add(1);
  store_.put("secret", "3");
  store_.put("open", "4");
  EXPECT_EQ(told(o), (Told{"canceled 0@2 compacted 0etcdserver: permission denied", "1: put open=4@4"}));
  hub().create(o.stream, {.key = "secret"});
  EXPECT_EQ(told(o), (Told{"created -1@4 etcdserver: permission denied"}));
}

class SmallRing : public WatchHubTest {
 protected:
  SmallRing() : WatchHubTest(TempStore::small()) {}
};

TEST_F(SmallRing, What_the_ring_has_lost_is_read_from_history) {
  Open o = open();
  hub().create(o.stream, {.key = "a"});
  (void)told(o);
  // The hub sees none of it until the ring has long gone on.
  for (int i = 0; i < 1000; ++i) store_.put("a", std::string(100, 'v'));
  settle();
  int64_t next = 2;
  while (!o.sink->replies.empty()) {
    for (const auto& e : o.sink->take(hub(), o.stream).events) ASSERT_EQ(e.kv().mod_revision(), next++);
    settle();
  }
  EXPECT_EQ(next, 1002);
}

TEST(WatchHubThreadTest, Is_woken_by_commits_and_ends_its_streams) {
  TempStore store{StoreOptions()};
  struct Sink final : WatchSink {
    std::string refuse(const WatchSpec&) override { return {}; }
    void created(int64_t, int64_t, std::string_view) override { ready = true; }
    void canceled(int64_t, int64_t, int64_t, std::string_view) override {}
    void events(int64_t, int64_t, const WatchSlice& slice, bool, bool) override {
      seen += slice.size();
      seen.notify_all();
    }
    void progress(int64_t, int64_t) override {}
    void failed(const Status& status) override { end = status; }
    void held(size_t) override {}
    size_t queued_bytes() const override { return 0; }
    void call_when_drained(size_t) override {}
    std::atomic<bool> ready{false};
    std::atomic<size_t> seen{0};
    Status end;
  };
  const auto sink = std::make_shared<Sink>();
  {
    WatchHubThread hub(store->changes(), {}, Clock::system());
    store->set_commit_listener(&hub);
    EXPECT_TRUE(hub.post([sink](WatchHub& h) { h.create(h.open(sink, 0), {.key = "a", .start_revision = 1}); }));
    for (size_t i = 1; i <= 2000; ++i) {
      store.put("a", "v");
      // Sometimes the hub sleeps, sometimes it is at work.
      if (i % 7 == 0) {
        for (size_t seen = sink->seen; seen < i; seen = sink->seen) sink->seen.wait(seen);
      }
    }
    for (size_t seen = sink->seen; seen < 2000; seen = sink->seen) sink->seen.wait(seen);
    while (hub.untold_revisions() > 0) std::this_thread::yield();
    // What is committed while the hub is busy is untold.
    std::promise<void> busy, go_on;
    EXPECT_TRUE(hub.post([&](WatchHub&) {
      busy.set_value();
      go_on.get_future().wait();
    }));
    busy.get_future().wait();
    for (int i = 0; i < 3; ++i) store.put("b", "v");
    EXPECT_EQ(hub.untold_revisions(), 3);
    go_on.set_value();
    while (hub.untold_revisions() > 0) std::this_thread::yield();
    store->set_commit_listener(nullptr);
    hub.stop({Code::kUnavailable, "etcdserver: server stopped"});
    EXPECT_EQ(sink->end.text(), "etcdserver: server stopped");
    EXPECT_FALSE(hub.post([](WatchHub&) {}));
  }
  EXPECT_EQ(sink->seen, 2000U);
}

}  // namespace
}  // namespace kv::store
