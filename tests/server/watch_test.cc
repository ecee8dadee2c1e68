// Watches on members: etcd's protocol on one stream, and the six promises (docs/design.md, "The watch hub") while
// leaders change and members go and come back.
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/random.h"
#include "members_fixture.h"
#include "server/watch_stream.h"

namespace kv::server {
namespace {

using etcdserverpb::WatchCreateRequest;
using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;

// A client's end: takes responses as they come.
class Inbox final : public WatchStream::Responses {
 public:
  bool write(const WatchResponse& response) override {
    const std::lock_guard lock(mutex_);
    if (end_) return false;
    responses_.push_back(response);
    changed_.notify_all();
    return true;
  }
  void finish(Status status) override {
    const std::lock_guard lock(mutex_);
    if (!end_) end_ = std::move(status);
    changed_.notify_all();
  }
  size_t queued_bytes() const override { return queued; }
  void on_drained(size_t, absl::AnyInvocable<void()> ready) override {
    const std::lock_guard lock(mutex_);
    drained_ = std::move(ready);
  }

  // The next response; nothing when the stream has ended or none comes in time.
  std::optional<WatchResponse> next(int64_t timeout_ms = 10'000) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] { return end_ || !responses_.empty(); });
    if (responses_.empty()) return std::nullopt;
    WatchResponse response = std::move(responses_.front());
    responses_.pop_front();
    return response;
  }
  std::optional<Status> end(int64_t timeout_ms = 10'000) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] { return end_.has_value(); });
    return end_;
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    return responses_.size();
  }
  void drain() {
    queued = 0;
    absl::AnyInvocable<void()> ready;
    {
      const std::lock_guard lock(mutex_);
      ready = std::move(drained_);
      drained_ = nullptr;
    }
    if (ready) ready();
  }

  std::atomic<size_t> queued{0};

 private:
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::deque<WatchResponse> responses_;
  std::optional<Status> end_;
  absl::AnyInvocable<void()> drained_;
};

WatchRequest create(const std::string& key, const std::string& range_end = "", int64_t start_revision = 0) {
  WatchRequest request;
  request.mutable_create_request()->set_key(key);
  request.mutable_create_request()->set_range_end(range_end);
  request.mutable_create_request()->set_start_revision(start_revision);
  return request;
}

struct Watching {
  explicit Watching(Member& member, CallPtr call = std::make_shared<InlineCall>())
      : inbox(std::make_shared<Inbox>()), stream(member.watch(std::move(call), inbox)) {}
  std::shared_ptr<Inbox> inbox;
  std::unique_ptr<WatchStream> stream;
};

const std::string kZero{"\0", 1};

class LoneWatch : public testing::Test {
 protected:
  LoneWatch() : options_(quick_options(directory_.path(), "m1", "http://127.0.0.1:" + std::to_string(free_port()))) {
    options_.watch_progress_interval_ms = 100;
    options_.max_request_bytes = 1 << 20;
  }
  Member& member() {
    if (!member_) {
      member_ = start(options_);
      EXPECT_TRUE(eventually([&] { return member_->leader() != 0; }));
    }
    return *member_;
  }

  TempDirectory directory_;
  MemberOptions options_;
  std::unique_ptr<Member> member_;
};

TEST_F(LoneWatch, Answers_as_etcd_does) {
  ASSERT_TRUE(put(member(), "a", "1").status.ok());
  Watching w(member());
  w.stream->request(create("a"));
  auto response = w.inbox->next();
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->created());
  EXPECT_EQ(response->header().revision(), 2);
  EXPECT_EQ(response->header().member_id(), member().id());
  EXPECT_EQ(response->header().cluster_id(), member().cluster_id());
  EXPECT_GT(response->header().raft_term(), 0U);
  ASSERT_TRUE(put(member(), "a", "2").status.ok());
  response = w.inbox->next();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->header().revision(), 3);
  EXPECT_EQ(response->header().member_id(), member().id());
  ASSERT_EQ(response->events_size(), 1);
  EXPECT_EQ(response->events(0).kv().value(), "2");
  EXPECT_EQ(response->events(0).kv().version(), 2);
  WatchRequest cancel;
  cancel.mutable_cancel_request()->set_watch_id(0);
  w.stream->request(cancel);
  response = w.inbox->next();
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->canceled());
  EXPECT_EQ(response->compact_revision(), 0);
  // A request of a kind that is not known yet is passed over, and the empty key is the smallest.
  w.stream->request(WatchRequest());
  w.stream->request(create("", "b", 2));
  EXPECT_TRUE(w.inbox->next()->created());
  EXPECT_EQ(w.inbox->next()->events_size(), 2);
}

TEST_F(LoneWatch, Progress_by_request_and_by_the_clock) {
  Watching w(member());
  auto request = create("a");
  request.mutable_create_request()->set_progress_notify(true);
  w.stream->request(request);
  EXPECT_TRUE(w.inbox->next()->created());
  auto response = w.inbox->next();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->watch_id(), 0);
  EXPECT_EQ(response->events_size(), 0);
  WatchRequest progress;
  progress.mutable_progress_request();
  w.stream->request(progress);
  do {
    response = w.inbox->next();
    ASSERT_TRUE(response);
  } while (response->watch_id() != -1);
  EXPECT_GE(response->header().revision(), 1);
}

TEST_F(LoneWatch, Splits_large_responses_when_asked) {
  // Several revisions of one history chunk, and one revision above the limit.
  etcdserverpb::TxnRequest txn;
  for (int i = 0; i < 100; ++i) {
    auto* p = txn.add_success()->mutable_request_put();
    p->set_key("k" + std::to_string(100 + i));
    p->set_value(std::string(9000, 'v'));
  }
  ASSERT_TRUE(call(member(), &Member::txn, txn).status.ok());
  ASSERT_TRUE(call(member(), &Member::txn, txn).status.ok());
  for (const bool fragment : {false, true}) {
    Watching w(member());
    auto request = create("k", "l", 2);
    request.mutable_create_request()->set_prev_kv(true);
    request.mutable_create_request()->set_fragment(fragment);
    w.stream->request(request);
    EXPECT_TRUE(w.inbox->next()->created());
    int events = 0, responses = 0;
    std::map<int64_t, int> responses_of_revision;
    while (events < 200) {
      const auto response = w.inbox->next();
      ASSERT_TRUE(response);
      std::set<int64_t> revisions;
      for (const auto& e : response->events()) revisions.insert(e.kv().mod_revision());
      for (const int64_t revision : revisions) ++responses_of_revision[revision];
      events += response->events_size();
      ++responses;
      if (fragment) {
        EXPECT_LT(response->ByteSizeLong(), (1U << 20) + (512U << 10));
        EXPECT_TRUE(response->fragment() || events == 200 || !responses_of_revision.contains(3));
      } else {
        EXPECT_FALSE(response->fragment());
      }
    }
    EXPECT_EQ(events, 200);
    if (fragment) {
      EXPECT_GT(responses, 2);
    } else {
      EXPECT_EQ(responses_of_revision[2], 1);
      EXPECT_EQ(responses_of_revision[3], 1);
    }
  }
}

TEST_F(LoneWatch, Requests_of_a_client_that_does_not_read_wait) {
  Watching w(member());
  w.inbox->queued = 1U << 30;
  for (int i = 0; i < 100; ++i) w.stream->request(create("k" + std::to_string(i)));
  EXPECT_GE(w.stream->waiting(), WatchStream::kWaitingMax);
  std::atomic<bool> ready{false};
  w.stream->when_waiting(WatchStream::kWaitingMax / 2, [&] { ready = true; });
  EXPECT_FALSE(ready);
  EXPECT_TRUE(eventually([&] {
    w.inbox->drain();
    return ready.load();
  }));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(w.inbox->next()->created());
  EXPECT_TRUE(eventually([&] { return w.stream->waiting() == 0; }));
}

TEST_F(LoneWatch, Ends_with_the_member) {
  Watching w(member());
  w.stream->request(create("a"));
  EXPECT_TRUE(w.inbox->next()->created());
  member().stop(100);
  EXPECT_EQ(w.inbox->end(), Status(Code::kUnavailable, "etcdserver: server stopped"));
  Watching late(member());
  EXPECT_EQ(late.inbox->end(), Status(Code::kUnavailable, "etcdserver: server stopped"));
}

TEST_F(LoneWatch, A_destroyed_stream_gets_nothing_more) {
  auto w = std::make_unique<Watching>(member());
  const auto inbox = w->inbox;
  w->stream->request(create("a"));
  EXPECT_TRUE(inbox->next()->created());
  w.reset();
  EXPECT_TRUE(eventually([&] { return inbox.use_count() == 1; })) << "the hub must let the sink go";
  ASSERT_TRUE(put(member(), "a", "1").status.ok());
  EXPECT_EQ(inbox->size(), 0U);
}

TEST(LeaderlessTest, Tells_once_when_patience_is_over) {
  Leaderless leaderless(1000);
  int told = 0, dropped = 0;
  const auto kept = leaderless.when_lost([&] { ++told; });
  auto early = leaderless.when_lost([&] { ++dropped; });
  leaderless.expire(10'000);
  leaderless.leader_known(false, 0);
  leaderless.leader_known(false, 500);
  leaderless.expire(999);
  EXPECT_EQ(told, 0);
  early.reset();
  leaderless.leader_known(true, 999);
  leaderless.expire(5000);
  EXPECT_EQ(told, 0) << "a leader is known";
  leaderless.leader_known(false, 5000);
  leaderless.expire(5999);
  EXPECT_EQ(told, 0);
  leaderless.expire(6000);
  leaderless.expire(9000);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(dropped, 0);
}

// ---- Three members

class ThreeWatched : public ThreeMembers {
 protected:
  ThreeWatched()
      : ThreeMembers([](MemberOptions& options) {
          options.watch_progress_interval_ms = 100;
          options.unsafe_no_fsync = true;  // no machine goes down here
        }) {}
};

TEST_F(ThreeWatched, Without_a_leader_only_those_end_that_asked_for_one) {
  auto needs = std::make_shared<InlineCall>();
  needs->has_leader = true;
  Watching demanding(*members_[0], needs), modest(*members_[0]);
  for (Watching* w : {&demanding, &modest}) {
    w->stream->request(create("a", kZero, 1));
    EXPECT_TRUE(w->inbox->next()->created());
  }
  ASSERT_TRUE(put(*members_[0], "a", "1").status.ok());
  EXPECT_EQ(modest.inbox->next()->events_size(), 1);
  members_[1].reset();
  members_[2].reset();
  ASSERT_TRUE(eventually([&] { return members_[0]->leader() == 0; }));
  Watching refused(*members_[0], needs);
  EXPECT_EQ(refused.stream, nullptr);
  EXPECT_EQ(refused.inbox->end(0), Status(Code::kUnavailable, "etcdserver: no leader"));
  EXPECT_EQ(demanding.inbox->end(), Status(Code::kUnavailable, "etcdserver: no leader"));
  // Alone, it still tells what it knows.
  Watching past(*members_[0]);
  past.stream->request(create("a", "", 1));
  EXPECT_TRUE(past.inbox->next()->created());
  EXPECT_EQ(past.inbox->next()->events_size(), 1);
  EXPECT_EQ(modest.inbox->end(0), std::nullopt);
}

// Writers write, leaders move, members stop and come back, and watchers on all members follow, each going on at another
// member from the last revision it saw when its own goes. Afterwards what they saw is held against the key space
// itself, read revision by revision, which uses nothing of the watch hub.
class WatchPromises : public ThreeWatched {
 protected:
  static constexpr int kKeys = 12;
  static std::string key(uint64_t i) { return "k" + std::to_string(10 + i); }

  struct Seen {
    int64_t revision = 0;  // mod_revision
    std::string key;
    bool deleted = false;
    std::string value;
    auto operator<=>(const Seen&) const = default;
  };
  // One response, or several that are parts of one.
  struct Delivery {
    std::vector<Seen> events;
    int64_t header_revision = 0;
    bool progress = false;
    int64_t next_before = 0;  // the first revision that was not seen before it
  };
  struct Watcher {
    uint64_t number = 0;
    std::string begin, end;
    bool fragment = false;
    int64_t next = 2;
    size_t resumed = 0;
    std::vector<Delivery> deliveries;
  };

  std::shared_ptr<Member> member(size_t i) {
    const std::lock_guard lock(members_mutex_);
    return members_[i % 3];
  }

  // Lets the writers try so many writes more. Without a bound, how long a restart takes would decide how long the
  // history is, and to read it revision by revision takes the square of that.
  void allow(int writes) {
    const std::lock_guard lock(allowed_mutex_);
    allowed_ += writes;
    allowed_changed_.notify_all();
  }
  bool take() {
    std::unique_lock lock(allowed_mutex_);
    allowed_changed_.wait(lock, [this] { return stop_ || allowed_ > 0; });
    --allowed_;
    return !stop_;
  }

  void write(uint64_t seed) {
    Random random(seed);
    while (take()) {
      const auto m = member(random.below(3));
      if (!m) continue;
      switch (random.below(4)) {
        case 0:
        case 1: (void)put(*m, key(random.below(kKeys)), std::to_string(random.next())); break;
        case 2: {
          etcdserverpb::DeleteRangeRequest request;
          request.set_key(key(random.below(kKeys)));
          if (random.one_in(3)) request.set_range_end("k99");
          (void)call(*m, &Member::delete_range, request);
          break;
        }
        default: {
          etcdserverpb::TxnRequest request;
          const uint64_t first = random.below(kKeys - 4);
          for (uint64_t i = 0; i < 4; ++i) {
            auto* p = request.add_success()->mutable_request_put();
            p->set_key(key(first + i));
            p->set_value(std::string(200, static_cast<char>('a' + random.below(26))));
          }
          (void)call(*m, &Member::txn, request);
        }
      }
    }
  }

  // Until `until_` is known and reached.
  void watch(Watcher& watcher) {
    size_t at = watcher.number;
    while (true) {
      auto m = member(at++);
      if (!m) {
        std::this_thread::yield();
        continue;
      }
      Watching w(*m);
      auto request = create(watcher.begin, watcher.end, watcher.next);
      request.mutable_create_request()->set_fragment(watcher.fragment);
      request.mutable_create_request()->set_progress_notify(true);
      w.stream->request(request);
      Delivery delivery{.next_before = watcher.next};
      for (uint64_t n = 0;; ++n) {
        const int64_t until = until_;
        if (until != 0 && watcher.next > until) return;
        if (n % 8 == 7) {
          WatchRequest progress;
          progress.mutable_progress_request();
          w.stream->request(progress);
        }
        const auto response = w.inbox->next(200);
        if (!response) {
          if (w.inbox->end(0)) break;
          // A member that is cut off from the others may have nothing for a while: ask another at times.
          if (until != 0 && n > 50) break;
          continue;
        }
        if (response->created()) continue;
        for (const auto& e : response->events()) {
          delivery.events.push_back(
              {e.kv().mod_revision(), e.kv().key(), e.type() == mvccpb::Event::DELETE, e.kv().value()});
        }
        if (response->fragment()) continue;
        delivery.header_revision = response->header().revision();
        delivery.progress = delivery.events.empty();
        watcher.next = std::max(watcher.next,
                                delivery.progress ? delivery.header_revision + 1 : delivery.events.back().revision + 1);
        watcher.deliveries.push_back(std::exchange(delivery, {.next_before = watcher.next}));
      }
      ++watcher.resumed;
      // The stream goes before its member.
      w.stream.reset();
      m.reset();
    }
  }

  // A member with streams on it goes: they end first, as a door would do it.
  void restart(size_t i) {
    std::shared_ptr<Member> gone;
    {
      const std::lock_guard lock(members_mutex_);
      gone = std::exchange(members_[i], nullptr);
    }
    gone->stop(50);
    // Writers and watchers may still be in its calls.
    EXPECT_TRUE(eventually([&] { return gone.use_count() == 1; }, 30));
    gone.reset();
    std::shared_ptr<Member> back = start(options_[i]);
    const std::lock_guard lock(members_mutex_);
    members_[i] = std::move(back);
  }

  void run() {
    for (uint64_t i = 0; i < 9; ++i) {
      Watcher& w = watchers_.emplace_back();
      w.number = i;
      w.begin = i < 3 ? key(i * 2) : "k";
      w.end = i < 3 ? "" : i < 6 ? "l" : kZero;
      w.fragment = i % 3 == 2;
    }
    std::vector<std::thread> threads;
    for (uint64_t seed = 1; seed <= 3; ++seed) threads.emplace_back([this, seed] { write(seed); });
    std::vector<std::thread> watching;
    for (Watcher& w : watchers_) watching.emplace_back([this, &w] { watch(w); });
    // Whoever leads goes, and comes back when another leads.
    for (int round = 0; round < (getenv("KVD_TEST_LONG") != nullptr ? 20 : 3); ++round) {
      const int64_t before = revision();
      const auto written = [&] {
        allow(10);
        return revision() >= before + 60;
      };
      EXPECT_TRUE(eventually(written, 60)) << "nothing gets written";
      size_t leader = 0;
      for (size_t i = 0; i < 3; ++i) {
        if (members_[i]->id() == members_[i]->leader()) leader = i;
      }
      allow(300);
      restart(leader);
    }
    stop_ = true;
    allow(0);
    for (std::thread& t : threads) t.join();
    EXPECT_TRUE(eventually([&] { return put(*members_[0], key(0), "last").status.ok(); }, 30));
    EXPECT_TRUE(eventually([&] { return get(*members_[1], key(0)).status.ok(); }, 30));
    // The last revision concerns everybody.
    etcdserverpb::TxnRequest last;
    for (uint64_t i = 0; i < kKeys; ++i) {
      last.add_success()->mutable_request_put()->set_key(key(i));
      last.mutable_success()->rbegin()->mutable_request_put()->set_value("end");
    }
    EXPECT_TRUE(eventually([&] { return call(*members_[0], &Member::txn, last).status.ok(); }, 30));
    until_ = revision();
    for (std::thread& t : watching) t.join();
    read_history();
  }

  int64_t revision() {
    etcdserverpb::RangeRequest request;
    request.set_key("k");
    request.set_serializable(true);
    int64_t highest = 0;
    for (size_t i = 0; i < 3; ++i) {
      if (const auto m = member(i)) {
        highest = std::max(highest, call(*m, &Member::range, request).response.header().revision());
      }
    }
    return highest;
  }

  // By reading the key space at each revision.
  void read_history() {
    std::map<std::string, std::string> before;
    for (int64_t revision = 2; revision <= until_; ++revision) {
      etcdserverpb::RangeRequest request;
      request.set_key("k");
      request.set_range_end("l");
      request.set_revision(revision);
      // The first read makes sure that the member has it all; a round of the cluster for each of thousands takes too
      // long.
      request.set_serializable(revision > 2);
      const auto answer = call(*members_[0], &Member::range, request);
      ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
      std::map<std::string, std::string> now;
      for (const auto& kv : answer.response.kvs()) {
        now[kv.key()] = kv.value();
        if (kv.mod_revision() == revision) history_.insert({revision, kv.key(), false, kv.value()});
      }
      for (const auto& [k, value] : before) {
        if (!now.contains(k)) history_.insert({revision, k, true, ""});
      }
      before = std::move(now);
    }
    ASSERT_GT(history_.size(), 100U);
  }

  bool concerns(const Watcher& w, const std::string& k) const {
    return w.end.empty() ? k == w.begin : k >= w.begin && (w.end == kZero || k < w.end);
  }
  std::set<Seen> history_of(const Watcher& w, int64_t from, int64_t upto) const {
    std::set<Seen> out;
    for (const Seen& s : history_) {
      if (s.revision >= from && s.revision <= upto && concerns(w, s.key)) out.insert(s);
    }
    return out;
  }

  std::mutex members_mutex_;  // guards members_ from the first restart on
  std::atomic<bool> stop_{false};
  std::mutex allowed_mutex_;  // guards allowed_
  std::condition_variable allowed_changed_;
  int allowed_ = 0;
  std::atomic<int64_t> until_{0};
  std::deque<Watcher> watchers_;
  std::set<Seen> history_;
};

TEST_F(WatchPromises, Ordered_events_come_by_revision_and_never_go_back) {
  run();
  for (const Watcher& w : watchers_) {
    int64_t last = 0, header = 0;
    for (const Delivery& d : w.deliveries) {
      for (const Seen& e : d.events) {
        EXPECT_GE(e.revision, last) << "watcher " << w.number;
        last = e.revision;
      }
      if (d.progress) {
        EXPECT_GE(d.header_revision, std::max(last, header));
      }
      header = std::max(header, d.header_revision);
    }
  }
}

TEST_F(WatchPromises, Unique_no_event_comes_twice) {
  run();
  for (const Watcher& w : watchers_) {
    std::set<std::pair<int64_t, std::string>> seen;
    for (const Delivery& d : w.deliveries) {
      for (const Seen& e : d.events) {
        EXPECT_TRUE(seen.emplace(e.revision, e.key).second) << e.key << " at " << e.revision << " twice";
      }
    }
  }
}

TEST_F(WatchPromises, Atomic_a_revision_comes_whole) {
  run();
  size_t of_several = 0;
  for (const Watcher& w : watchers_) {
    for (const Delivery& d : w.deliveries) {
      std::map<int64_t, std::set<Seen>> revisions;
      for (const Seen& e : d.events) revisions[e.revision].insert(e);
      for (const auto& [revision, events] : revisions) {
        EXPECT_EQ(events, history_of(w, revision, revision)) << "revision " << revision;
        of_several += events.size() > 1 ? 1 : 0;
      }
    }
  }
  EXPECT_GT(of_several, 50U) << "nothing was there to be split";
}

TEST_F(WatchPromises, Reliable_no_event_is_missing_and_none_is_made_up) {
  run();
  for (const Watcher& w : watchers_) {
    std::set<Seen> seen;
    for (const Delivery& d : w.deliveries) seen.insert(d.events.begin(), d.events.end());
    EXPECT_EQ(seen, history_of(w, 2, until_)) << "watcher " << w.number;
  }
}

TEST_F(WatchPromises, Resumable_at_another_member_from_the_last_revision) {
  run();
  size_t resumed = 0;
  for (const Watcher& w : watchers_) {
    resumed += w.resumed;
    // Also from any revision at all, at any member.
    for (int64_t from = 2; from <= until_; from += 37) {
      Watching again(*members_[static_cast<size_t>(from) % 3]);
      again.stream->request(create(w.begin, w.end, from));
      std::set<Seen> seen;
      EXPECT_TRUE(again.inbox->next()->created());
      const std::set<Seen> expected = history_of(w, from, until_);
      while (seen.size() < expected.size()) {
        const auto response = again.inbox->next();
        ASSERT_TRUE(response);
        for (const auto& e : response->events())
          seen.insert({e.kv().mod_revision(), e.kv().key(), e.type() == mvccpb::Event::DELETE, e.kv().value()});
      }
      EXPECT_EQ(seen, expected);
    }
  }
  EXPECT_GE(resumed, 3U) << "no watcher ever lost its member";
}

TEST_F(WatchPromises, Bookmarkable_what_a_progress_notification_covers_was_delivered) {
  run();
  size_t notifications = 0;
  for (const Watcher& w : watchers_) {
    for (const Delivery& d : w.deliveries) {
      if (!d.progress) continue;
      ++notifications;
      EXPECT_EQ(history_of(w, d.next_before, d.header_revision), std::set<Seen>())
          << "watcher " << w.number << " was told of " << d.header_revision;
    }
  }
  EXPECT_GT(notifications, 20U);
}

}  // namespace
}  // namespace kv::server
