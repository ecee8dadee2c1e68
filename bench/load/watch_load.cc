#include "bench/load/watch_load.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

#include "bench/load/h2_client.h"
#include "bench/load/wire.h"

namespace kv::load {
namespace {

const std::string kWatchPath = "/etcdserverpb.Watch/Watch";
const std::string kPutPath = "/etcdserverpb.KV/Put";

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

class WatchLoad {
 public:
  explicit WatchLoad(const WatchLoadOptions& options) : options_(options), puts_(options.in_flight) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i <= options.connections; ++i) {  // the last one is the writer's
      const uint32_t slots = i < options.connections ? 1 : options.in_flight;
      clients_.push_back(std::make_unique<H2Client>(options.endpoints[i % options.endpoints.size()], slots));
      epoll_event event{.events = EPOLLIN, .data = {.u32 = i}};
      epoll_ctl(epoll_, EPOLL_CTL_ADD, clients_[i]->fd(), &event);
      clients_[i]->on_message = [this](uint32_t, std::string_view message) { on_response(message); };
    }
    wants_write_.resize(clients_.size());
    value_.assign(std::max<size_t>(options.value_bytes, sizeof(Stamp)), 'v');
  }
  ~WatchLoad() { close(epoll_); }
  WatchLoad(const WatchLoad&) = delete;
  WatchLoad& operator=(const WatchLoad&) = delete;

  void create_watchers() {
    for (uint32_t c = 0; c < options_.connections; ++c) clients_[c]->open(0, kWatchPath);
    std::string create, request;
    // A few at a time: a stream's window is small at first.
    for (uint32_t made = 0; made < options_.watchers;) {
      for (uint32_t n = 0; n < 100 * options_.connections && made < options_.watchers; ++n, ++made) {
        create.clear();
        append_bytes(create, 1, options_.distinct ? key(made) : "w/");
        if (!options_.distinct) append_bytes(create, 2, "w0");
        request.clear();
        append_bytes(request, 1, create);
        clients_[made % options_.connections]->send(0, request);
      }
      last_news_ns_ = now_ns();
      while (created_ < made) turn();
    }
  }

  void run_for(double seconds) {
    const int64_t until = now_ns() + static_cast<int64_t>(seconds * 1e9);
    last_news_ns_ = now_ns();
    for (uint32_t slot = 0; slot < options_.in_flight; ++slot) free_.push_back(slot);
    while (now_ns() < until || free_.size() < options_.in_flight) {
      if (now_ns() < until) {
        for (const uint32_t slot : std::exchange(free_, {})) put(slot);
      }
      turn();
    }
    free_.clear();
  }

  WatchLoadResult result;

 private:
  // What a value begins with.
  struct Stamp {
    uint32_t slot;
    uint32_t number;  // of the put on this slot
  };
  struct Put {
    uint32_t number = 0;
    int64_t started_ns = 0;
    uint32_t events = 0;  // still to come
    bool answered = false;
  };

  std::string key(uint64_t number) const {
    std::string digits = std::to_string(number);
    return "w/" + std::string(10 - std::min<size_t>(10, digits.size()), '0') + digits;
  }

  void put(uint32_t slot) {
    Put& p = puts_[slot];
    ++p.number;
    p.events = options_.distinct ? 1 : options_.watchers;
    p.answered = false;
    const Stamp stamp{slot, p.number};
    std::memcpy(value_.data(), &stamp, sizeof stamp);
    request_.clear();
    append_bytes(request_, 1, key(next_key_++ % options_.watchers));
    append_bytes(request_, 2, value_);
    clients_.back()->call(slot, kPutPath, request_);
    p.started_ns = now_ns();
  }

  void on_response(std::string_view message) {
    Field field;
    bool canceled = false;
    while (next_field(message, field)) {
      if (field.id == 3) ++created_;
      if (field.id == 4) canceled = field.number != 0;
      if (field.id == 11) on_event(field.bytes);
    }
    if (canceled) throw std::runtime_error("a watch was canceled by the server");
  }

  void on_event(std::string_view event) {
    Field field;
    while (next_field(event, field)) {
      if (field.id != 2) continue;
      std::string_view kv = field.bytes;
      while (next_field(kv, field)) {
        if (field.id != 5) continue;
        Stamp stamp{};
        if (field.bytes.size() < sizeof stamp) throw std::runtime_error("an event of somebody else's put");
        std::memcpy(&stamp, field.bytes.data(), sizeof stamp);
        if (stamp.slot >= puts_.size()) throw std::runtime_error("an event of somebody else's put");
        Put& p = puts_[stamp.slot];
        if (p.number != stamp.number || p.events == 0) throw std::runtime_error("an event came twice");
        result.latency.record(now_ns_ - p.started_ns);
        --p.events;
        settle(stamp.slot);
      }
      return;
    }
  }

  void settle(uint32_t slot) {
    if (puts_[slot].events > 0 || !puts_[slot].answered) return;
    free_.push_back(slot);
    ++result.puts;
  }

  // One round of the event loop.
  void turn() {
    for (uint32_t c = 0; c < clients_.size(); ++c) flush(c);
    epoll_event events[64];
    const int ready = epoll_wait(epoll_, events, 64, 100);
    now_ns_ = now_ns();
    if (ready > 0) last_news_ns_ = now_ns_;
    if (static_cast<double>(now_ns_ - last_news_ns_) > options_.patience_s * 1e9) {
      throw std::runtime_error("events or answers do not come");
    }
    for (int i = 0; i < ready; ++i) {
      const uint32_t c = events[i].data.u32;
      if ((events[i].events & ~static_cast<uint32_t>(EPOLLOUT)) == 0) continue;
      clients_[c]->read([&](const Outcome& outcome) {
        if (outcome.grpc_status != 0 || c != options_.connections) {
          throw std::runtime_error("a call ended with code " + std::to_string(outcome.grpc_status) + ": " +
                                   std::string(outcome.grpc_message));
        }
        puts_[outcome.slot].answered = true;
        settle(outcome.slot);
      });
    }
  }

  void flush(uint32_t c) {
    const bool blocked = !clients_[c]->flush();
    if (blocked == wants_write_[c]) return;
    wants_write_[c] = blocked;
    epoll_event event{.events = EPOLLIN | (blocked ? static_cast<uint32_t>(EPOLLOUT) : 0U), .data = {.u32 = c}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, clients_[c]->fd(), &event);
  }

  const WatchLoadOptions& options_;
  int epoll_ = -1;
  std::vector<std::unique_ptr<H2Client>> clients_;
  std::vector<bool> wants_write_;
  std::vector<Put> puts_;  // by the slot of the writer's connection
  std::vector<uint32_t> free_;
  std::string value_, request_;
  uint64_t next_key_ = 0;
  uint32_t created_ = 0;
  int64_t now_ns_ = 0;
  int64_t last_news_ns_ = 0;
};

}  // namespace

WatchLoadResult run_watch_load(const WatchLoadOptions& options, const std::function<void()>& measuring) {
  WatchLoad load(options);
  load.create_watchers();
  if (options.warmup_s > 0) load.run_for(options.warmup_s);
  load.result = {};
  measuring();
  const int64_t from = now_ns();
  load.run_for(options.seconds);
  load.result.seconds = static_cast<double>(now_ns() - from) / 1e9;
  return load.result;
}

}  // namespace kv::load
