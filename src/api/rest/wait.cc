#include "api/rest/wait.h"

#include <algorithm>
#include <charconv>
#include <mutex>
#include <string>
#include <utility>

#include "api/rest/node_json.h"
#include "server/own_watch.h"
#include "store/node_actions.h"
#include "store/node_tree.h"

namespace kv::api {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using etcdserverpb::WatchCreateRequest;
using etcdserverpb::WatchResponse;

// A comment that keeps proxies from taking a quiet stream of events for a dead one.
constexpr int64_t kHeartbeatMs = 15'000;

void set_node(const mvccpb::KeyValue& kv, kvdpb::Node* node) {
  node->set_key(kv.key());
  node->set_value(kv.value());
  node->set_created_index(kv.create_revision());
  node->set_modified_index(kv.mod_revision());
}

// As it was when the event happened.
void set_expiry(int64_t expires_at_ms, int64_t now_ms, kvdpb::Node* node) {
  if (expires_at_ms == 0) return;
  node->set_expires_at_ms(expires_at_ms);
  node->set_ttl_s(std::max<int64_t>((expires_at_ms - now_ms + 999) / 1000, 0));
}

class Wait : public std::enable_shared_from_this<Wait> {
 public:
  Wait(server::Member& member, std::shared_ptr<HttpExchange> exchange, CallPtr call, NodeCall request,
       std::shared_ptr<std::atomic<int64_t>> waits)
      : member_(member),
        exchange_(std::move(exchange)),
        call_(std::move(call)),
        request_(std::move(request)),
        waits_(std::move(waits)) {
    waits_->fetch_add(1);
    events_ = exchange_->request().header("accept").starts_with("text/event-stream");
    if (!events_) return;
    // A browser that reconnects says which event it had last.
    const std::string_view last = exchange_->request().header("last-event-id");
    int64_t index = 0;
    const auto [end, wrong] = std::from_chars(last.data(), last.data() + last.size(), index);
    if (wrong == std::errc() && end == last.data() + last.size() && index > 0 && index < INT64_MAX)
      request_.wait_index = index + 1;
    request_.stream = true;
  }

  ~Wait() { waits_->fetch_sub(1); }

  void open() {
    exchange_->on_cancel = [self = shared_from_this()] { self->over(); };
    exchange_->on_closed = [self = shared_from_this()] { self->over(); };
    if (!member_.gate().closed()) return look();
    member_.gate().admit(call_, Right::kKeys, [self = shared_from_this()](const Status& admitted) {
      admitted.ok() ? self->look() : self->fail(admitted);
    });
  }

 private:
  // Where history stands, and whether it reaches back to what is asked for: what must be known before the head is sent.
  void look() {
    read(0, [](Wait& self, const Status& status, const RangeResponse& now) {
      if (!status.ok()) return self.fail(status);
      self.index_ = now.header().revision();
      self.raft_term_ = now.header().raft_term();
      self.raft_index_ = self.member_.applied_index();
      if (self.request_.wait_index == 0) self.request_.wait_index = self.index_ + 1;
      if (self.request_.wait_index > self.index_) return self.begin();
      self.read(self.request_.wait_index, [](Wait& again, const Status& there, const RangeResponse&) {
        if (there.code() == Code::kOutOfRange) {
          return again.exchange_->respond(
              node_error_response({401, "the requested history has been cleared [" + std::to_string(again.index_) +
                                            "/" + std::to_string(again.request_.wait_index) + "]"},
                                  again.member_.cluster_id(), again.index_));
        }
        there.ok() ? again.begin() : again.fail(there);
      });
    });
  }

  template <typename Next>
  void read(int64_t revision, Next next) {
    auto request = std::make_unique<RangeRequest>();
    request->set_key(request_.node.path());
    request->set_revision(revision);
    request->set_count_only(true);
    request->set_serializable(true);
    member_.range(call_, std::move(request),
                  [self = shared_from_this(), next](const Status& status, const RangeResponse& response) {
                    next(*self, status, response);
                  });
  }

  void begin() {
    HttpResponse head;
    head.content_type = events_ ? "text/event-stream" : "application/json";
    add_node_headers(&head, member_.cluster_id(), index_);
    add_raft_headers(&head, raft_index_, raft_term_);
    if (events_) head.headers.emplace_back("Cache-Control", "no-cache");
    if (!exchange_->start(std::move(head))) return;
    WatchCreateRequest request;
    const std::string& path = request_.node.path();
    request.set_key(path);
    if (request_.node.recursive()) request.set_range_end(store::below_end(path));
    request.set_start_revision(request_.wait_index);
    request.set_prev_kv(true);
    auto watch =
        server::OwnWatch::start(member_, call_, std::move(request),
                                [weak = weak_from_this()](const Status& status, const WatchResponse* response) {
                                  if (const auto self = weak.lock()) self->on_response(status, response);
                                });
    {
      const std::lock_guard lock(mutex_);
      if (!over_) watch_ = std::move(watch);
    }
    if (events_) exchange_->post([self = shared_from_this()] { self->beat(); });
  }

  void on_response(const Status& status, const WatchResponse* response) {
    if (!status.ok() || response == nullptr || response->canceled()) return exchange_->break_off();
    for (const mvccpb::Event& event : response->events()) {
      if (!concerns(event.kv().key())) continue;
      const store::NodeAction action = member_.node_action(event.kv().mod_revision());
      if (action.action == store::kRefreshAction) continue;
      if (!exchange_->write(text_of(event, action))) return;
      if (!request_.stream) return exchange_->finish();
    }
  }

  bool concerns(const std::string& key) const {
    const std::string& path = request_.node.path();
    if (key == path) return true;
    const std::string below = store::below_begin(path);
    if (!key.starts_with(below) || clean_node_path(key) != key) return false;
    // What is hidden shows to those only who ask for it by name.
    for (size_t name = below.size(); name < key.size(); name = key.find('/', name) + 1) {
      if (key[name] == '_') return false;
      if (key.find('/', name) == std::string::npos) break;
    }
    return true;
  }

  std::string text_of(const mvccpb::Event& event, const store::NodeAction& action) const {
    kvdpb::NodeResponse response;
    const bool deleted = event.type() == mvccpb::Event::DELETE;
    response.set_action(!action.action.empty() ? action.action : deleted ? "delete" : "set");
    set_node(event.kv(), response.mutable_node());
    if (deleted) {
      response.mutable_node()->clear_value();
      // A file that a directory has taken the place of.
      const bool replaced = event.kv().key() == action.path && action.makes_directory;
      response.mutable_node()->set_dir(replaced);
      response.mutable_node()->set_created_index(replaced ? event.kv().mod_revision()
                                                          : event.prev_kv().create_revision());
    }
    if (event.has_prev_kv() && event.prev_kv().mod_revision() != 0)
      set_node(event.prev_kv(), response.mutable_prev_node());
    if (event.kv().key() == action.path) {
      set_expiry(action.expires_at_ms, action.done_at_ms, response.mutable_node());
      if (response.has_prev_node())
        set_expiry(action.prev_expires_at_ms, action.done_at_ms, response.mutable_prev_node());
    }
    const std::string json = node_answer(response);
    if (!events_) return json;
    return "id: " + std::to_string(event.kv().mod_revision()) + "\nevent: " + response.action() + "\ndata: " + json +
           "\n";
  }

  void beat() {
    exchange_->call_after(kHeartbeatMs, [self = shared_from_this()] {
      if (self->exchange_->write(":\n\n")) self->beat();
    });
  }

  void fail(const Status& status) { exchange_->respond(node_failure(status, member_.cluster_id())); }

  void over() {
    std::unique_ptr<server::OwnWatch> watch;
    const std::lock_guard lock(mutex_);
    over_ = true;
    watch = std::move(watch_);
  }

  server::Member& member_;
  const std::shared_ptr<HttpExchange> exchange_;
  const CallPtr call_;
  NodeCall request_;
  const std::shared_ptr<std::atomic<int64_t>> waits_;  // how many there are
  bool events_ = false;                                // Server-Sent Events
  int64_t index_ = 0;                                  // this and the two below: when the wait began
  uint64_t raft_index_ = 0;
  uint64_t raft_term_ = 0;
  std::mutex mutex_;  // guards both below
  bool over_ = false;
  std::unique_ptr<server::OwnWatch> watch_;
};

}  // namespace

void open_wait(server::Member& member, const std::shared_ptr<HttpExchange>& exchange, CallPtr call, NodeCall request,
               std::shared_ptr<std::atomic<int64_t>> waits) {
  std::make_shared<Wait>(member, exchange, std::move(call), std::move(request), std::move(waits))->open();
}

}  // namespace kv::api
