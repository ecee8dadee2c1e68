// The hub under thousands of random commits, compactions and requests, with clients that read slowly or not at all.
// What each client was sent is compared with the model of the key space, which knows nothing of watches: every event of
// the range once, in order, whole revisions, and nothing else.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>

#include "base/random.h"
#include "model.h"
#include "random_requests.h"
#include "store/change_source.h"
#include "temp_store.h"
#include "watch_client.h"

namespace kv::store {
namespace {

// What one watcher asked for, and how far its client has been told.
struct Watched {
  WatchSpec spec;
  int64_t next = 0;  // everything before it was seen
  std::vector<mvccpb::Event> parts;
};

class Client {
 public:
  Client(WatchHub& watch_hub, const Model& key_space, int64_t now_ms)
      : hub(watch_hub), model(key_space), sink(std::make_shared<WatchClient>()), stream(hub.open(sink, now_ms)) {}

  void create(WatchSpec spec) {
    asked.push_back(spec);
    hub.create(stream, std::move(spec));
  }

  void take_one() {
    const WatchReply reply = sink->take(hub, stream);
    switch (reply.kind) {
      case WatchReply::Kind::kCreated: return on_created(reply);
      case WatchReply::Kind::kCanceled: return on_canceled(reply);
      case WatchReply::Kind::kEvents: return on_events(reply);
      case WatchReply::Kind::kProgress: return on_progress(reply);
      case WatchReply::Kind::kFailed: FAIL() << reply.reason;
    }
  }

  void on_created(const WatchReply& reply) {
    ASSERT_FALSE(asked.empty());
    const WatchSpec spec = asked.front();
    asked.pop_front();
    ASSERT_EQ(in_parts, std::nullopt);
    if (!reply.reason.empty()) {
      ASSERT_EQ(reply.watch_id, -1);
      return;
    }
    ASSERT_FALSE(watches.contains(reply.watch_id));
    ASSERT_GE(reply.revision, last_revision) << "a stream's revision went back";
    watches[reply.watch_id] = {spec, spec.start_revision > 0 ? spec.start_revision : reply.revision + 1, {}};
  }

  void on_canceled(const WatchReply& reply) {
    ASSERT_TRUE(watches.contains(reply.watch_id));
    const Watched& watched = watches[reply.watch_id];
    if (reply.compact_revision != 0) {
      ASSERT_LT(watched.next, reply.compact_revision) << "canceled though nothing it needs was compacted";
      ASSERT_LE(reply.compact_revision, model.compact_revision());
    } else if (!reply.reason.empty()) {
      // It may have been allowed again since.
      ASSERT_TRUE(std::any_of(forbidden.begin(), forbidden.end(), [&](const std::string& prefix) {
        return watched.spec.key.starts_with(prefix);
      })) << reply.reason;
    } else {
      ASSERT_TRUE(canceled.contains(reply.watch_id));
    }
    if (in_parts == reply.watch_id) in_parts.reset();
    ASSERT_EQ(in_parts, std::nullopt);
    watches.erase(reply.watch_id);
  }

  void on_events(const WatchReply& reply) {
    ASSERT_TRUE(watches.contains(reply.watch_id)) << "events of a watcher that is not there";
    if (in_parts) {
      ASSERT_EQ(*in_parts, reply.watch_id) << "parts must come one after the other";
    } else {
      ASSERT_FALSE(reply.events.empty());
    }
    Watched& watched = watches[reply.watch_id];
    ASSERT_TRUE(!reply.more || watched.spec.fragment);
    watched.parts.insert(watched.parts.end(), reply.events.begin(), reply.events.end());
    in_parts = reply.more ? std::optional(reply.watch_id) : std::nullopt;
    if (reply.more) return;
    const auto events = std::exchange(watched.parts, {});
    const int64_t last = events.back().kv().mod_revision();
    ASSERT_GE(reply.revision, last);
    expect(watched, last, events);
    // The header says as much as a bookmark would.
    expect(watched, reply.revision, {});
  }

  void on_progress(const WatchReply& reply) {
    ASSERT_EQ(in_parts, std::nullopt);
    ASSERT_GE(reply.revision, last_revision);
    last_revision = reply.revision;
    if (reply.watch_id != -1) {
      ASSERT_TRUE(watches.contains(reply.watch_id));
      ASSERT_LE(watches[reply.watch_id].spec.start_revision, reply.revision);
      return expect(watches[reply.watch_id], reply.revision, {});
    }
    for (auto& [id, watched] : watches) {
      ASSERT_LE(watched.spec.start_revision, reply.revision) << "a watch of the future was told of the past";
      expect(watched, reply.revision, {});
    }
  }

  // What the model says a watcher gets of the revisions from `next` to `upto`.
  void expect(Watched& watched, int64_t upto, const std::vector<mvccpb::Event>& got) {
    const KeyRange range = watched.spec.range();
    std::map<std::pair<int64_t, std::string>, std::vector<std::pair<const Model::Version*, const Model::Version*>>> all;
    for (const auto& [key, versions] : model.versions()) {
      if (!range.contains(key)) continue;
      for (const auto& version : versions) {
        if (version.main < watched.next || version.main > upto) continue;
        if (version.tombstone ? watched.spec.no_delete : watched.spec.no_put) continue;
        const Model::Version* before = nullptr;
        for (const auto& v : versions) {
          if (v.main < version.main) before = &v;
        }
        all[{version.main, key}].emplace_back(&version, before);
      }
    }
    int64_t revision = 0;
    for (const auto& event : got) {
      ASSERT_GE(event.kv().mod_revision(), revision) << "out of order";
      revision = event.kv().mod_revision();
      const auto it = all.find({revision, event.kv().key()});
      ASSERT_NE(it, all.end()) << "twice, or of no concern: " << event.ShortDebugString() << " from " << watched.next;
      const auto [version, before] = it->second.front();
      it->second.erase(it->second.begin());
      if (it->second.empty()) all.erase(it);
      ASSERT_EQ(event.type() == mvccpb::Event::DELETE, version->tombstone);
      if (!version->tombstone) {
        ASSERT_EQ(event.kv().SerializeAsString(), version->kv.SerializeAsString());
      } else {
        ASSERT_TRUE(event.kv().value().empty() && event.kv().version() == 0 && event.kv().create_revision() == 0);
      }
      const bool had = before != nullptr && !before->tombstone;
      if (event.has_prev_kv()) {
        ASSERT_TRUE(watched.spec.prev_kv && had) << event.ShortDebugString();
        ASSERT_EQ(event.prev_kv().SerializeAsString(), before->kv.SerializeAsString());
      } else if (watched.spec.prev_kv && had) {
        ASSERT_LT(revision - 1, model.compact_revision()) << "prev_kv is missing: " << event.ShortDebugString();
      }
    }
    ASSERT_TRUE(all.empty()) << "never sent: " << all.begin()->first.second << " at " << all.begin()->first.first;
    watched.next = std::max(watched.next, upto + 1);
  }

  WatchHub& hub;
  const Model& model;
  const std::shared_ptr<WatchClient> sink;
  WatchHub::Stream* stream;
  std::deque<WatchSpec> asked;
  std::map<int64_t, Watched> watches;
  std::set<int64_t> canceled;
  std::set<std::string> forbidden;
  std::optional<int64_t> in_parts;
  int64_t last_revision = 0;
};

class WatchModelTest : public testing::TestWithParam<uint64_t> {
 protected:
  void commit() {
    const auto batch = store_->begin();
    for (uint64_t n = 1 + random().below(6); n > 0; --n) {
      switch (random().below(8)) {
        case 0:
        case 1:
        case 2: {
          const auto r = requests_.put();
          etcdserverpb::PutResponse a, b;
          ASSERT_EQ(batch->put(r, &a), model_.put(r, &b));
          break;
        }
        case 3: {
          const auto r = requests_.delete_range();
          etcdserverpb::DeleteRangeResponse a, b;
          ASSERT_EQ(batch->delete_range(r, &a), model_.delete_range(r, &b));
          break;
        }
        case 4:
          if (random().one_in(6)) {
            etcdserverpb::CompactionRequest r;
            r.set_revision(requests_.revision_near(model_.revision(), model_.compact_revision()));
            etcdserverpb::CompactionResponse a, b;
            ASSERT_EQ(batch->compact(r, &a), model_.compact(r, &b));
            break;
          }
          [[fallthrough]];
        default: {
          const auto r = requests_.txn(model_.revision(), model_.compact_revision());
          etcdserverpb::TxnResponse a, b;
          ASSERT_EQ(batch->txn(r, &a), model_.txn(r, &b));
        }
      }
    }
    ASSERT_TRUE(batch->commit(++index_, 1).ok());
  }

  WatchSpec spec() {
    WatchSpec s;
    s.key = requests_.key();
    if (s.key.empty()) s.key = kZero;
    s.range_end = requests_.range_end(s.key);
    switch (random().below(4)) {
      case 0: break;
      case 1: s.start_revision = model_.revision() + 1 + static_cast<int64_t>(random().below(20)); break;
      default:
        s.start_revision = 1 + static_cast<int64_t>(random().below(static_cast<uint64_t>(model_.revision() + 3)));
    }
    // Near the edge of what is compacted, where the mistakes are.
    if (random().one_in(4)) {
      s.start_revision = std::max<int64_t>(1, model_.compact_revision() - 1 + static_cast<int64_t>(random().below(4)));
    }
    s.watch_id = random().one_in(3) ? static_cast<int64_t>(random().below(8)) : 0;
    s.no_put = random().one_in(8);
    s.no_delete = random().one_in(8);
    s.prev_kv = random().one_in(2);
    s.fragment = random().one_in(3);
    s.progress_notify = random().one_in(3);
    return s;
  }

  Random& random() { return requests_.random(); }

  Model model_;
  RandomRequests requests_{GetParam()};
  uint64_t index_ = 0;
  TempStore store_;
};

TEST_P(WatchModelTest, Everybody_gets_what_the_model_says) {
  const int kSteps = getenv("KVD_TEST_LONG") != nullptr ? 6000 : 1200;
  WatchHubOptions options;
  options.stream_bytes_max = 500 + random().below(8000);
  options.chunk_bytes = 100 + random().below(3000);
  options.chunk_changes = 5 + random().below(200);
  options.riders_max = 1 + random().below(20);
  options.progress_interval_ms = 200;
  options.seed = GetParam();
  std::atomic<uint64_t> rights{0};
  WatchHub hub(store_->changes(), &rights, options);
  int64_t now_ms = 0;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(std::make_unique<Client>(hub, model_, now_ms));

  for (int step = 0; step < kSteps && !HasFatalFailure(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    std::unique_ptr<Client>& client = clients[random().below(clients.size())];
    switch (random().below(16)) {
      case 0:
      case 1:
      case 2:
      case 3: commit(); break;
      case 4:
      case 5:
      case 6: (void)hub.step(now_ms += static_cast<int64_t>(random().below(20))); break;
      case 7: client->create(spec()); break;
      case 8: {
        const auto id = static_cast<int64_t>(random().below(8));
        client->canceled.insert(id);
        hub.cancel(client->stream, id);
        break;
      }
      case 9: hub.request_progress(client->stream); break;
      case 10:
        if (random().one_in(10)) {
          hub.close(client->stream);
          client = std::make_unique<Client>(hub, model_, now_ms);
        } else if (random().one_in(10) && model_.compact_revision() > 0) {
          ASSERT_TRUE(store_.wait_compacted(model_.compact_revision()).ok());
        } else if (random().one_in(10)) {
          client->sink->forbidden = requests_.key();
          client->forbidden.insert(client->sink->forbidden);
          rights.fetch_add(1);
        }
        break;
      default:
        for (uint64_t n = random().below(20); n > 0 && !client->sink->replies.empty(); --n) client->take_one();
    }
  }
  // Everybody reads at last, and then has all there is.
  bool busy = true;
  for (int rounds = 0; busy && !HasFatalFailure(); ++rounds) {
    ASSERT_LT(rounds, 100000) << "the hub never comes to rest";
    busy = hub.step(now_ms);
    for (const auto& client : clients) {
      busy |= !client->sink->replies.empty();
      while (!client->sink->replies.empty() && !HasFatalFailure()) client->take_one();
    }
  }
  ASSERT_FALSE(HasFatalFailure());
  size_t watches = 0;
  for (const auto& client : clients) {
    EXPECT_TRUE(client->asked.empty()) << "a request was not answered";
    watches += client->watches.size();
    for (auto& [id, watched] : client->watches) client->expect(watched, model_.revision(), {});
  }
  EXPECT_EQ(hub.counts().watchers, watches);
  EXPECT_GT(hub.counts().events, 0U);
  for (const auto& client : clients) hub.close(client->stream);
  EXPECT_EQ(hub.counts().watchers, 0U);
  EXPECT_EQ(hub.counts().groups, 0U) << "a group outlived its watchers";
}

INSTANTIATE_TEST_SUITE_P(Seeds, WatchModelTest, testing::Range<uint64_t>(1, 31));

}  // namespace
}  // namespace kv::store
