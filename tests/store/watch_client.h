// The client's end of a stream, for tests of the hub: keeps what it was sent until the test takes it, and claims as
// many queued bytes as that has.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "etcdserverpb/rpc.pb.h"
#include "store/watch_hub.h"

namespace kv::store {

struct WatchReply {
  enum class Kind : uint8_t { kCreated, kCanceled, kEvents, kProgress, kFailed };
  Kind kind;
  int64_t watch_id = 0;
  int64_t revision = 0;
  int64_t compact_revision = 0;
  std::string reason;
  bool more = false;
  std::vector<mvccpb::Event> events;
  const void* shared = nullptr;  // whose bytes the events are
  size_t bytes = 0;
};

class WatchClient final : public WatchSink {
 public:
  using Kind = WatchReply::Kind;

  std::string refuse(const WatchSpec& spec) override {
    return !forbidden.empty() && spec.key.starts_with(forbidden) ? "etcdserver: permission denied" : "";
  }
  void created(int64_t watch_id, int64_t revision, std::string_view refused_because) override {
    add({.kind = Kind::kCreated, .watch_id = watch_id, .revision = revision, .reason = std::string(refused_because)});
  }
  void canceled(int64_t watch_id, int64_t revision, int64_t compact_revision, std::string_view reason) override {
    add({.kind = Kind::kCanceled,
         .watch_id = watch_id,
         .revision = revision,
         .compact_revision = compact_revision,
         .reason = std::string(reason)});
  }
  void events(int64_t watch_id, int64_t revision, const WatchSlice& slice, bool more, bool) override {
    etcdserverpb::WatchResponse parsed;
    EXPECT_TRUE(parsed.ParseFromArray(slice.bytes().data(), static_cast<int>(slice.bytes().size())));
    EXPECT_EQ(static_cast<size_t>(parsed.events_size()), slice.size());
    add({.kind = Kind::kEvents,
         .watch_id = watch_id,
         .revision = revision,
         .more = more,
         .events = {parsed.events().begin(), parsed.events().end()},
         .shared = slice.all.get(),
         .bytes = slice.bytes().size()});
  }
  void progress(int64_t watch_id, int64_t revision) override {
    add({.kind = Kind::kProgress, .watch_id = watch_id, .revision = revision});
  }
  void failed(const Status& status) override { add({.kind = Kind::kFailed, .reason = status.text()}); }
  void held(size_t requests) override { held_requests = requests; }
  size_t queued_bytes() const override { return queued; }
  void call_when_drained(size_t below_bytes) override {
    EXPECT_EQ(drain_below, 0U) << "asked twice";
    drain_below = below_bytes;
  }

  // Takes the oldest reply; the hub is told when that drains the queue as far as it asked for.
  WatchReply take(WatchHub& hub, WatchHub::Stream* stream) {
    WatchReply reply = std::move(replies.front());
    replies.pop_front();
    queued -= reply.bytes;
    if (drain_below > 0 && queued < drain_below) {
      drain_below = 0;
      hub.drained(stream);
    }
    return reply;
  }

  std::deque<WatchReply> replies;
  size_t queued = 0;
  size_t most_queued = 0;
  size_t drain_below = 0;
  size_t held_requests = 0;
  std::string forbidden;  // keys that begin so may not be watched

 private:
  void add(WatchReply reply) {
    constexpr size_t kControlBytes = 20;
    reply.bytes += kControlBytes;
    queued += reply.bytes;
    most_queued = std::max(most_queued, queued);
    replies.push_back(std::move(reply));
  }
};

}  // namespace kv::store
