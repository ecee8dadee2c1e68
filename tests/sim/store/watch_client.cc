#include "sim/store/watch_client.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "etcdserverpb/rpc.pb.h"
#include "sim/store/store_service.h"

namespace kv::sim {

using Change = StoreChecker::Change;

WatchClient::WatchClient(StoreWorld* world, uint64_t number)
    : world_(world), number_(number), random_(seed_for(world->cluster->options().seed, 5000 + number)) {
  watches_.resize(1 + random_.below(world->options.watches_per_client));
  for (Watch& watch : watches_) choose_range(watch);
}

void WatchClient::begin() {
  mischief();
  keep_watching();
}

void WatchClient::heal() { healed_ = true; }

void WatchClient::fail(const char* invariant, const Watch& watch, const std::string& text) {
  world_->checker.fail(invariant, "client " + std::to_string(number_) + ", watch of " + quoted(watch.spec.key) + ".." +
                                      quoted(watch.spec.range_end) + (watch.spec.prev_kv ? " with prev_kv" : "") +
                                      (watch.spec.fragment ? " in parts" : "") + " at " +
                                      std::to_string(watch.next) + ": " + text);
}

// ---- what it asks for --------------------------------------------------------------------------------------

void WatchClient::choose_range(Watch& watch) {
  watch = Watch();
  const auto letters = [this](uint64_t length) {
    std::string out;
    for (; length > 0; --length) out += static_cast<char>('a' + random_.below(4));
    return out;
  };
  store::WatchSpec& spec = watch.spec;
  spec.key = letters(1 + random_.below(2));
  switch (random_.below(4)) {
    case 0: break;
    case 1:
      spec.range_end = spec.key;
      ++spec.range_end.back();
      break;
    case 2: spec.range_end = spec.key + letters(1); break;
    default:
      spec.key = std::string("\0", 1);
      spec.range_end = spec.key;
  }
  spec.no_put = random_.one_in(8);
  spec.no_delete = random_.one_in(8);
  spec.prev_kv = random_.one_in(3);
  spec.fragment = random_.one_in(3);
  spec.progress_notify = random_.one_in(2);
  const StoreChecker& checker = world_->checker;
  const int64_t revision = checker.revision();
  switch (random_.below(4)) {
    case 0: break;  // from now on
    case 1: watch.next = revision + 1 + static_cast<int64_t>(random_.below(10)); break;
    default: {
      const int64_t first = std::max<int64_t>(checker.compact_revision() - 1, 1);
      watch.next = first + static_cast<int64_t>(random_.below(static_cast<uint64_t>(revision - first + 1)));
    }
  }
  if (random_.one_in(4) && checker.compact_revision() > 0) watch.next = checker.compact_revision();
  watch.at = watch.complete = checker.changes_from(watch.next);
}

void WatchClient::connect() {
  member_ = world_->some_node(random_);
  if (member_ == nullptr) return;
  stream_ = number_ << 32 | ++streams_;
  connecting_ = true;
  member_->ask([this, stream = stream_, member = member_] {
    if (stream != stream_) return;
    static_cast<StoreService*>(member->service())->watches().open(stream, this);
    connecting_ = false;
  });
}

void WatchClient::drop_stream() {
  if (stream_ == 0) return;
  if (SimNode* member = member_) {
    member->ask([member, stream = stream_] {
      static_cast<StoreService*>(member->service())->watches().close(stream);
    });
  }
  disconnected(stream_);
}

void WatchClient::disconnected(uint64_t stream) {
  if (stream != stream_) return;
  stream_ = 0;
  member_ = nullptr;
  connecting_ = false;
  pending_.clear();
  asked_progress_us_ = 0;
  progress_seen_ = 0;
  for (Watch& watch : watches_) {
    if (watch.state == State::kActive) ++world_->watches_resumed;
    watch.state = State::kIdle;
    watch.id = -1;
    // What it has of a revision that came in parts, it is sent again.
    watch.at = watch.complete;
    watch.in_parts = false;
  }
}

// As a client library does: sees to it that there is a stream, and on it the watches.
void WatchClient::keep_watching() {
  const bool dead = member_ != nullptr && !member_->running();
  if (stream_ != 0 && (dead || (connecting_ && random_.one_in(4)))) drop_stream();
  if (stream_ == 0) connect();
  if (stream_ != 0 && !connecting_) {
    for (size_t i = 0; i < watches_.size(); ++i) {
      if (watches_[i].state == State::kIdle) create(i);
    }
  }
  world_->cluster->events().after(5'000 + random_.below(30'000), [this] { keep_watching(); });
}

void WatchClient::create(size_t index) {
  Watch& watch = watches_[index];
  watch.state = State::kCreating;
  store::WatchSpec spec = watch.spec;
  spec.start_revision = watch.next;
  if (world_->broken() == Break::kRepeatEvent && watch.complete > 0 && watch.next > 2) {
    const int64_t last = world_->checker.changes()[watch.complete - 1].main;
    if (last > world_->checker.compact_revision()) spec.start_revision = last;
  }
  if (random_.one_in(2)) spec.watch_id = static_cast<int64_t>(100 * streams_ + random_.below(1'000'000) * 10 + index);
  member_->ask([this, stream = stream_, member = member_, index, spec] {
    if (stream != stream_) return;
    WatchService& watches = static_cast<StoreService*>(member->service())->watches();
    if (watches.create(stream, spec)) {
      pending_.push_back(index);
    } else {
      watches_[index].state = State::kIdle;  // it has too much to do; later
    }
  });
}

void WatchClient::cancel(Watch& watch) {
  watch.state = State::kCancelling;
  member_->ask([stream = stream_, member = member_, id = watch.id] {
    static_cast<StoreService*>(member->service())->watches().cancel(stream, id);
  });
}

void WatchClient::mischief() {
  if (healed_) return;
  world_->cluster->events().after(around(random_, world_->options.watch_mischief_us), [this] { mischief(); });
  if (stream_ == 0 || connecting_) return;
  Watch& watch = watches_[random_.below(watches_.size())];
  switch (random_.below(4)) {
    case 0: drop_stream(); break;
    case 1:
      if (watch.state == State::kActive) cancel(watch);
      break;
    case 2:
      if (watch.state == State::kIdle) choose_range(watch);
      break;
    default:
      member_->ask([stream = stream_, member = member_] {
        static_cast<StoreService*>(member->service())->watches().request_progress(stream);
      });
  }
}

// ---- what it is sent ---------------------------------------------------------------------------------------

WatchClient::Watch* WatchClient::by_id(int64_t id) {
  for (Watch& watch : watches_) {
    const bool there = watch.state == State::kActive || watch.state == State::kCancelling;
    if (there && watch.id == id) return &watch;
  }
  return nullptr;
}

const Change* WatchClient::expected(Watch& watch) const {
  const std::vector<Change>& changes = world_->checker.changes();
  const store::KeyRange range = watch.spec.range();
  for (; watch.at < changes.size(); ++watch.at) {
    const Change& change = changes[watch.at];
    if (change.main < watch.next) continue;
    if (change.tombstone ? watch.spec.no_delete : watch.spec.no_put) continue;
    if (range.contains(change.kv.key())) return &change;
  }
  return nullptr;
}

void WatchClient::received(uint64_t stream, const WatchMessage& message) {
  world_->note(raft::NodeId(0), mix(mix(110 + static_cast<uint64_t>(message.kind), static_cast<uint64_t>(message.watch_id)),
                                    mix(static_cast<uint64_t>(message.revision), message.bytes.size())),
               [&] {
                 static constexpr const char* kKinds[] = {"created", "events", "progress", "canceled", "failed"};
                 return "client " + std::to_string(number_) + " is sent " + kKinds[static_cast<size_t>(message.kind)] +
                        " of watch " + std::to_string(message.watch_id) + " at " + std::to_string(message.revision) +
                        (message.more ? ", more" : "") + (stream == stream_ ? "" : ", on a stream that it has left");
               });
  if (stream != stream_) return;
  if (message.revision > world_->checker.revision()) {
    return world_->checker.fail("watch ahead of the history", "client " + std::to_string(number_) + " is sent revision " +
                                                                  std::to_string(message.revision));
  }
  switch (message.kind) {
    case WatchMessage::Kind::kCreated: return created(message);
    case WatchMessage::Kind::kEvents: return events(message);
    case WatchMessage::Kind::kProgress: return progress(message);
    case WatchMessage::Kind::kCanceled: return canceled(message);
    case WatchMessage::Kind::kFailed: return world_->checker.fail("watch failed", message.text);
  }
}

void WatchClient::created(const WatchMessage& message) {
  if (pending_.empty()) return world_->checker.fail("watch created twice", std::to_string(message.watch_id));
  Watch& watch = watches_[pending_.front()];
  pending_.pop_front();
  if (!message.text.empty()) return fail("watch refused", watch, message.text);
  if (by_id(message.watch_id) != nullptr) return fail("watch created twice", watch, std::to_string(message.watch_id));
  watch.state = State::kActive;
  watch.id = message.watch_id;
  if (watch.next == 0) {
    watch.next = message.revision + 1;
    watch.at = watch.complete = world_->checker.changes_from(watch.next);
  }
}

void WatchClient::events(const WatchMessage& message) {
  Watch* watch = by_id(message.watch_id);
  if (watch == nullptr) return world_->checker.fail("events of no watch", std::to_string(message.watch_id));
  for (const Watch& other : watches_) {
    if (other.in_parts && &other != watch) return fail("parts of a revision apart", other, "another watch's events");
  }
  etcdserverpb::WatchResponse response;
  if (!response.ParseFromString(message.bytes)) return fail("bad event", *watch, "it can't be parsed");
  if (response.events().empty() && !watch->in_parts) return fail("bad event", *watch, "a response without events");
  for (const mvccpb::Event& event : response.events()) {
    const Change* change = expected(*watch);
    if (change == nullptr) return fail("wrong event", *watch, event.ShortDebugString() + " instead of none");
    const bool same_kind = (event.type() == mvccpb::Event::DELETE) == change->tombstone;
    if (!same_kind || !google::protobuf::util::MessageDifferencer::Equals(event.kv(), change->kv)) {
      return fail("wrong event", *watch, event.ShortDebugString() + " instead of " + change->kv.ShortDebugString());
    }
    // The value before may be compacted, and never comes unasked.
    const bool may_lack = !change->prev || !watch->spec.prev_kv || change->main - 1 < world_->checker.compact_revision();
    const bool right = event.has_prev_kv()
                           ? watch->spec.prev_kv && change->prev &&
                                 google::protobuf::util::MessageDifferencer::Equals(event.prev_kv(), *change->prev)
                           : may_lack;
    if (!right) return fail("wrong event", *watch, event.ShortDebugString() + " has the wrong value before");
    if (change->main > watch->next) watch->complete = watch->at;
    watch->next = change->main;
    ++watch->at;
    ++world_->watch_events;
  }
  if (message.revision < watch->next) {
    return fail("wrong event", *watch, "a response of revision " + std::to_string(message.revision));
  }
  watch->in_parts = message.more;
  if (message.more) return;
  const Change* next = expected(*watch);
  if (next != nullptr && next->main == watch->next) {
    return fail("revision split", *watch, next->kv.ShortDebugString() + " is missing");
  }
  ++watch->next;
  watch->complete = watch->at;
}

void WatchClient::progress(const WatchMessage& message) {
  ++world_->progress_notes;
  const bool all = message.watch_id == store::WatchSink::kNoWatch;
  if (!all && by_id(message.watch_id) == nullptr) {
    return world_->checker.fail("progress of no watch", std::to_string(message.watch_id));
  }
  for (Watch& watch : watches_) {
    const bool there = watch.state == State::kActive || watch.state == State::kCancelling;
    if (!there || (!all && watch.id != message.watch_id)) continue;
    const Change* next = expected(watch);
    if (watch.in_parts || (next != nullptr && next->main <= message.revision)) {
      return fail("progress ahead of events", watch, "at " + std::to_string(message.revision));
    }
    if (message.revision + 1 < watch.next) {
      return fail("watch goes back", watch, "to progress at " + std::to_string(message.revision));
    }
    // It may go on from here.
    watch.next = message.revision + 1;
    watch.complete = watch.at;
  }
  if (all) progress_seen_ = message.revision;
}

void WatchClient::canceled(const WatchMessage& message) {
  Watch* watch = by_id(message.watch_id);
  if (watch == nullptr) return world_->checker.fail("cancel of no watch", std::to_string(message.watch_id));
  if (message.compact_revision == 0) {
    if (watch->state != State::kCancelling) return fail("cancelled for no reason", *watch, message.text);
    if (watch->in_parts) {
      watch->in_parts = false;
      watch->at = watch->complete;
    }
    watch->state = State::kIdle;
    return;
  }
  ++world_->watches_compacted;
  if (message.compact_revision > world_->checker.compact_revision() || watch->next >= message.compact_revision) {
    return fail("cancelled for no reason", *watch, "compacted at " + std::to_string(message.compact_revision));
  }
  watch->state = State::kIdle;
  watch->in_parts = false;
  watch->next = message.compact_revision;
  watch->at = watch->complete = world_->checker.changes_from(watch->next);
}

// ---- the end -----------------------------------------------------------------------------------------------

bool WatchClient::caught_up() {
  bool in_the_future = false;
  for (Watch& watch : watches_) {
    if (watch.state != State::kActive || watch.in_parts || expected(watch) != nullptr) return false;
    in_the_future |= watch.next > world_->checker.revision() + 1;
  }
  // Who asks is told, unless a watch has not begun.
  if (in_the_future || progress_seen_ >= world_->checker.revision()) return true;
  const uint64_t now_us = world_->cluster->events().now_us();
  if (asked_progress_us_ == 0 || now_us > asked_progress_us_ + 200'000) {
    asked_progress_us_ = now_us;
    member_->ask([stream = stream_, member = member_] {
      static_cast<StoreService*>(member->service())->watches().request_progress(stream);
    });
  }
  return false;
}

std::string WatchClient::describe() const {
  std::string out = "client " + std::to_string(number_) + (stream_ == 0 ? " without a stream" : "");
  if (member_ != nullptr) out += " at n" + to_string(member_->id());
  for (const Watch& watch : watches_) {
    static constexpr const char* kStates[] = {"idle", "creating", "active", "cancelling"};
    out += "; watch " + std::to_string(watch.id) + " " + kStates[static_cast<size_t>(watch.state)] + " next " +
           std::to_string(watch.next);
  }
  return out;
}

}  // namespace kv::sim
