// Progress in a world of one leader, one follower and a network that may lose anything: every sequence of events up
// to a depth is played, what must always hold is checked after each, and from each state a well-behaved network must
// lead to the follower having everything.
#include "raft/core/progress.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

namespace kv::raft {
namespace {

TEST(Inflight, Counts_as_a_plain_list_does_for_every_sequence_of_events) {
  // Events: 0..2 add 10, 20 or 30 bytes; 3..5 acknowledge up to the first, second, third last that was added.
  constexpr size_t kDepth = 6;
  constexpr size_t kEvents = 6;
  size_t sequences = 1;
  for (size_t i = 0; i < kDepth; ++i) sequences *= kEvents;
  for (size_t code = 0; code < sequences; ++code) {
    Inflight window(3, 50);
    std::deque<std::pair<uint64_t, size_t>> model;
    uint64_t last = 0;
    size_t rest = code;
    for (size_t i = 0; i < kDepth; ++i, rest /= kEvents) {
      const size_t event = rest % kEvents;
      if (event < 3) {
        if (window.full()) continue;
        window.add(Index(++last), 10 * (event + 1));
        model.emplace_back(last, 10 * (event + 1));
      } else {
        const uint64_t up_to = last - std::min<uint64_t>(last, event - 3);
        window.acknowledge(Index(up_to));
        while (!model.empty() && model.front().first <= up_to) model.pop_front();
      }
      size_t bytes = 0;
      for (const auto& [index, size] : model) bytes += size;
      ASSERT_EQ(window.count(), model.size());
      ASSERT_EQ(window.bytes(), bytes);
      ASSERT_EQ(window.empty(), model.empty());
      ASSERT_EQ(window.full(), model.size() >= 3 || bytes >= 50);
    }
  }
}

TEST(Inflight, Lets_a_request_larger_than_the_limit_through_when_empty) {
  Inflight window(3, 50);
  ASSERT_FALSE(window.full());
  window.add(Index(1), 5000);
  EXPECT_TRUE(window.full());
  window.acknowledge(Index(1));
  EXPECT_FALSE(window.full());
}

constexpr uint64_t kLast = 4;       // the leader's log is 1..4
constexpr uint64_t kCompacted = 1;  // entry 1 is in its snapshot only
constexpr size_t kWindow = 2;

// One follower as the leader sees it, and as it is.
struct World {
  Progress progress{Index(kLast + 1), kWindow, 1000};
  uint64_t has;  // the follower's log agrees with the leader's up to here, and ends here
  struct Request {
    bool snapshot = false;
    uint64_t previous = 0;
    uint64_t last = 0;
  };
  struct Reply {
    bool accepted = false;
    bool snapshot = false;
    uint64_t index = 0;
    uint64_t hint = 0;
  };
  std::deque<Request> requests;
  std::deque<Reply> replies;
  uint64_t acknowledged = 0;  // the highest that the follower has ever accepted: match must not be above it

  explicit World(uint64_t follower_has) : has(follower_has) {}

  bool wants_to_send() const {
    return progress.may_send() && (progress.next() <= Index(kLast) ||
                                   (progress.state() == ProgressState::kProbe && progress.match() < Index(kLast)));
  }
  void send() {
    const uint64_t previous = progress.next().value() - 1;
    if (previous < kCompacted) {
      progress.sent_snapshot(Index(kCompacted));
      requests.push_back({.snapshot = true, .previous = 0, .last = kCompacted});
      return;
    }
    // One entry a request, so that windows fill.
    const uint64_t last = std::min(previous + 1, kLast);
    if (last == previous) {
      progress.sent_empty();
    } else {
      progress.sent_entries(Index(last), 10);
    }
    requests.push_back({.snapshot = false, .previous = previous, .last = last});
  }
  void deliver_request() {
    const Request request = requests.front();
    requests.pop_front();
    if (request.snapshot) {
      has = std::max(has, request.last);
      acknowledged = std::max(acknowledged, has);
      replies.push_back({.accepted = true, .snapshot = true, .index = has, .hint = 0});
    } else if (request.previous <= has) {
      has = std::max(has, request.last);
      acknowledged = std::max(acknowledged, request.last);
      replies.push_back({.accepted = true, .snapshot = false, .index = request.last, .hint = 0});
    } else {
      replies.push_back({.accepted = false, .snapshot = false, .index = request.previous, .hint = has});
    }
  }
  void deliver_reply() {
    const Reply reply = replies.front();
    replies.pop_front();
    if (reply.accepted) {
      progress.accepted(Index(reply.index), Index(kCompacted));
    } else {
      progress.rejected(Index(reply.index), Index(reply.hint));
    }
  }
  void heartbeat_answered() {
    if (progress.heard()) {
      // As the state machine does: an empty request after what was sent last.
      const uint64_t previous = progress.next().value() - 1;
      requests.push_back({.snapshot = false, .previous = previous, .last = previous});
    }
  }

  void check() const {
    ASSERT_LT(progress.match(), progress.next());
    ASSERT_LE(progress.next(), Index(kLast + 1));
    ASSERT_LE(progress.match(), Index(acknowledged)) << "the leader counts what the follower never promised";
    ASSERT_LE(progress.inflight().count(), kWindow);
    if (progress.state() != ProgressState::kReplicate) {
      ASSERT_TRUE(progress.inflight().empty());
    }
    if (progress.state() == ProgressState::kSnapshot) {
      ASSERT_FALSE(progress.may_send());
    }
  }
};

enum Event { kSend, kDeliver, kLose, kReply, kLoseReply, kHeard, kUnreachable, kTick, kSnapshotFails, kEvents };

// False where the event can't happen.
bool play(World& world, int event) {
  switch (event) {
    case kSend:
      if (!world.wants_to_send() || world.requests.size() >= 3) return false;
      world.send();
      return true;
    case kDeliver:
      if (world.requests.empty()) return false;
      world.deliver_request();
      return true;
    case kLose:
      if (world.requests.empty()) return false;
      world.requests.pop_front();
      return true;
    case kReply:
      if (world.replies.empty()) return false;
      world.deliver_reply();
      return true;
    case kLoseReply:
      if (world.replies.empty()) return false;
      world.replies.pop_front();
      return true;
    case kHeard: world.heartbeat_answered(); return true;
    case kUnreachable: world.progress.unreachable(); return true;
    case kTick:
      if (world.progress.state() != ProgressState::kSnapshot) return false;
      world.progress.tick(2);
      return true;
    case kSnapshotFails:
      if (world.progress.state() != ProgressState::kSnapshot) return false;
      world.progress.snapshot_failed();
      return true;
    default: return false;
  }
}

// A network that works, with heartbeats now and then: the follower must come to have everything.
bool recovers(World world) {
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 10 && world.wants_to_send(); ++i) world.send();
    while (!world.requests.empty()) world.deliver_request();
    while (!world.replies.empty()) world.deliver_reply();
    if (world.progress.match() == Index(kLast) && world.progress.state() == ProgressState::kReplicate) return true;
    world.heartbeat_answered();
    world.progress.tick(10);
  }
  return false;
}

size_t explore(const World& world, int depth, std::string& path) {
  size_t states = 1;
  EXPECT_TRUE(recovers(world)) << path;
  if (depth == 0 || testing::Test::HasFailure()) return states;
  for (int event = 0; event < kEvents; ++event) {
    World next = world;
    const Index before = next.progress.match();
    if (!play(next, event)) continue;
    path += "SDLRlHUTF"[event];
    next.check();
    EXPECT_GE(next.progress.match(), before) << path << ": match went back";
    states += explore(next, depth - 1, path);
    path.pop_back();
  }
  return states;
}

TEST(Progress, Keeps_its_promises_and_recovers_after_every_sequence_of_events) {
  size_t states = 0;
  for (uint64_t has = 0; has <= kLast; ++has) {
    World world(has);
    std::string path = std::to_string(has) + " ";
    states += explore(world, 8, path);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(states, 100000U);
}

TEST(Progress, Probes_one_request_at_a_time) {
  Progress progress(Index(10), 4, 1000);
  ASSERT_TRUE(progress.may_send());
  progress.sent_entries(Index(12), 10);
  EXPECT_FALSE(progress.may_send());
  EXPECT_EQ(progress.next(), Index(10)) << "a probe's entries have to be sent again if it misses";
  EXPECT_FALSE(progress.heard());
  EXPECT_TRUE(progress.may_send()) << "a sign of life allows another probe";
}

TEST(Progress, Replicates_ahead_of_the_answers_up_to_the_window) {
  Progress progress(Index(1), 2, 1000);
  progress.sent_entries(Index(1), 10);
  ASSERT_TRUE(progress.accepted(Index(1), Index(0)));
  ASSERT_EQ(progress.state(), ProgressState::kReplicate);
  progress.sent_entries(Index(2), 10);
  progress.sent_entries(Index(5), 10);
  EXPECT_FALSE(progress.may_send());
  EXPECT_EQ(progress.next(), Index(6));
  EXPECT_TRUE(progress.accepted(Index(2), Index(0)));
  EXPECT_TRUE(progress.may_send());
}

TEST(Progress, Takes_an_old_refusal_for_what_it_is) {
  Progress progress(Index(5), 2, 1000);
  EXPECT_FALSE(progress.rejected(Index(7), Index(2))) << "not the request that is unanswered";
  EXPECT_TRUE(progress.rejected(Index(4), Index(2)));
  EXPECT_EQ(progress.next(), Index(3));
  EXPECT_TRUE(progress.accepted(Index(3), Index(0)));
  EXPECT_FALSE(progress.rejected(Index(3), Index(1))) << "it has since accepted that";
  EXPECT_EQ(progress.state(), ProgressState::kReplicate);
}

TEST(Progress, Never_probes_below_what_is_known_to_match) {
  Progress progress(Index(5), 2, 1000);
  progress.accepted(Index(4), Index(0));
  progress.sent_entries(Index(6), 10);
  EXPECT_TRUE(progress.rejected(Index(6), Index(0)));
  EXPECT_EQ(progress.next(), Index(5));
}

}  // namespace
}  // namespace kv::raft
