#include "sim/store/watch_service.h"

#include <algorithm>
#include <utility>

#include "store/change_source.h"

namespace kv::sim {

using store::WatchHub;
using store::WatchSlice;
using store::WatchSpec;

// The queue of one stream, and its way to the client.
class WatchService::Stream final : public store::WatchSink, public std::enable_shared_from_this<Stream> {
 public:
  Stream(WatchService* service, uint64_t number, WatchReceiver* receiver)
      : service_(service), number_(number), receiver_(receiver) {
    StoreWorld& world = *service_->world_;
    slow_ = chance(service_->random_, world.options.slow_stream_ppm) && world.cluster->faults_on();
  }

  WatchReceiver* receiver() const { return receiver_; }
  void end() { ended_ = true; }

  std::string refuse(const WatchSpec&) override { return {}; }
  void created(int64_t id, int64_t revision, std::string_view refused_because) override {
    push({.kind = WatchMessage::Kind::kCreated, .watch_id = id, .revision = revision, .text = std::string(refused_because)});
  }
  void canceled(int64_t id, int64_t revision, int64_t compact_revision, std::string_view reason) override {
    if (broken() == Break::kHideCompaction && compact_revision > 0) {
      // As if the watcher had begun there.
      if (const auto spec = specs_.find(id); spec != specs_.end()) {
        WatchSpec again = spec->second;
        again.watch_id = id;
        again.start_revision = compact_revision;
        hidden_ = id;
        service_->node_->later(0, [service = service_, number = number_, again] {
          if (Open* open = service->find(number)) service->hub_->create(open->stream, again);
        });
        return;
      }
    }
    push({.kind = WatchMessage::Kind::kCanceled,
          .watch_id = id,
          .revision = revision,
          .compact_revision = compact_revision,
          .text = std::string(reason)});
  }
  void events(int64_t id, int64_t revision, const WatchSlice& slice, bool more, bool) override {
    size_t first = slice.first;
    Random& random = service_->random_;
    if (broken() == Break::kLoseEvent && slice.size() > 1 && random.one_in(8)) ++first;
    const auto part = [&](size_t from, size_t to) {
      push({.watch_id = id, .revision = revision, .bytes = std::string(WatchSlice{slice.all, from, to}.bytes()), .more = more});
    };
    if (broken() == Break::kSplitRevision && slice.last - first > 1) {
      part(first, first + 1);
      ++first;
    }
    part(first, slice.last);
  }
  void progress(int64_t id, int64_t revision) override {
    if (broken() == Break::kProgressAhead) ++revision;
    push({.kind = WatchMessage::Kind::kProgress, .watch_id = id, .revision = revision});
  }
  void failed(const Status& status) override {
    push({.kind = WatchMessage::Kind::kFailed, .text = status.to_string()});
  }
  void held(size_t) override {}
  size_t queued_bytes() const override { return bytes_; }
  void call_when_drained(size_t below_bytes) override {
    drained_below_ = below_bytes;
    tell_when_drained();
  }

  // For Break::kHideCompaction.
  void remember(const WatchSpec& spec) { specs_[spec.watch_id] = spec; }

 private:
  Break broken() const { return service_->world_->broken(); }
  static size_t size_of(const WatchMessage& message) { return 16 + message.bytes.size(); }

  void push(WatchMessage message) {
    if (ended_) return;
    if (message.kind == WatchMessage::Kind::kCreated && hidden_ && *hidden_ == message.watch_id) {
      hidden_.reset();
      return;
    }
    bytes_ += size_of(message);
    queue_.push_back(std::move(message));
    if (!sending_) send_next();
  }

  void send_next() {
    sending_ = !queue_.empty();
    if (!sending_) return;
    const uint64_t slower = slow_ && service_->world_->cluster->faults_on() ? 50 : 1;
    service_->node_->later(slower * service_->world_->options.send_us.draw(service_->random_),
                           [self = shared_from_this()] { self->send(); });
  }

  void send() {
    if (ended_) return;
    WatchMessage message = std::move(queue_.front());
    queue_.pop_front();
    bytes_ -= size_of(message);
    // One connection: nothing overtakes.
    EventQueue& events = service_->world_->cluster->events();
    arrives_us_ = std::max(arrives_us_, events.now_us() + 50 + service_->random_.below(3'000));
    events.after(arrives_us_ - events.now_us(), [receiver = receiver_, number = number_, message = std::move(message)] {
      receiver->received(number, message);
    });
    tell_when_drained();
    send_next();
  }

  void tell_when_drained() {
    if (!drained_below_ || bytes_ >= *drained_below_ || telling_) return;
    telling_ = true;
    service_->node_->later(service_->random_.below(300), [self = shared_from_this()] {
      self->telling_ = false;
      self->drained_below_.reset();
      Open* open = self->service_->find(self->number_);
      if (self->ended_ || open == nullptr) return;
      self->service_->hub_->drained(open->stream);
      self->service_->poke();
    });
  }

  WatchService* service_;
  uint64_t number_;
  WatchReceiver* receiver_;
  bool slow_ = false;
  bool ended_ = false;
  std::deque<WatchMessage> queue_;
  size_t bytes_ = 0;
  bool sending_ = false;
  uint64_t arrives_us_ = 0;
  std::optional<size_t> drained_below_;
  bool telling_ = false;
  std::map<int64_t, WatchSpec> specs_;
  std::optional<int64_t> hidden_;
};

WatchService::WatchService(SimNode* node, StoreStateMachine* state, StoreWorld* world)
    : node_(node),
      state_(state),
      world_(world),
      random_(seed_for(world->cluster->options().seed, 4000 + node->id().value())) {}

WatchService::~WatchService() = default;

void WatchService::started() {
  store::WatchHubOptions options = world_->options.hub;
  options.seed = random_.next();
  hub_ = std::make_unique<WatchHub>(state_->store().changes(), nullptr, options);
}

void WatchService::end_streams() {
  for (auto& [number, open] : streams_) {
    open.sink->end();
    world_->cluster->events().after(
        random_.below(20'000), [receiver = open.sink->receiver(), n = number] { receiver->disconnected(n); });
  }
  streams_.clear();
}

void WatchService::crashed() {
  end_streams();
  hub_.reset();
  step_scheduled_ = false;
}

// The hub reads the store that was; whoever watches begins again, here or elsewhere.
void WatchService::state_replaced() {
  end_streams();
  started();
}

void WatchService::ticked() {
  if (hub_->next_ms() <= node_->now_ms()) poke();
}

void WatchService::committed() { poke(); }

void WatchService::poke() {
  if (step_scheduled_) return;
  step_scheduled_ = true;
  node_->later(random_.below(1'000), [this] {
    step_scheduled_ = false;
    step();
  });
}

void WatchService::step() {
  // A bounded piece of the work, and then others get their turn.
  for (uint64_t n = 1 + random_.below(8); n > 0; --n) {
    if (!hub_->step(node_->now_ms())) return;
  }
  poke();
}

WatchService::Open* WatchService::find(uint64_t stream) {
  const auto it = streams_.find(stream);
  return it == streams_.end() ? nullptr : &it->second;
}

void WatchService::open(uint64_t stream, WatchReceiver* receiver) {
  auto sink = std::make_shared<Stream>(this, stream, receiver);
  WatchHub::Stream* const opened = hub_->open(sink, node_->now_ms());
  streams_[stream] = {std::move(sink), opened};
}

void WatchService::close(uint64_t stream) {
  Open* open = find(stream);
  if (open == nullptr) return;
  open->sink->end();
  hub_->close(open->stream);
  streams_.erase(stream);
  poke();
}

bool WatchService::create(uint64_t stream, const WatchSpec& spec) {
  constexpr size_t kHeldMax = 16;
  Open* open = find(stream);
  if (open == nullptr || hub_->held_requests(open->stream) >= kHeldMax) return false;
  open->sink->remember(spec);
  WatchSpec asked = spec;
  if (world_->broken() == Break::kCancelAtCompaction && asked.start_revision > 0 &&
      asked.start_revision == state_->store().stats().compact_revision) {
    --asked.start_revision;
  }
  if (world_->broken() == Break::kForgetPrevious) asked.prev_kv = false;
  hub_->create(open->stream, asked);
  poke();
  return true;
}

void WatchService::cancel(uint64_t stream, int64_t watch_id) {
  if (Open* open = find(stream)) {
    hub_->cancel(open->stream, watch_id);
    poke();
  }
}

void WatchService::request_progress(uint64_t stream) {
  if (Open* open = find(stream)) {
    hub_->request_progress(open->stream);
    poke();
  }
}

}  // namespace kv::sim
