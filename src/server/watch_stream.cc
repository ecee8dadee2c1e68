#include "server/watch_stream.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "server/errors.h"

namespace kv::server {

using etcdserverpb::WatchCreateRequest;
using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;
using store::WatchHub;
using store::WatchSlice;
using store::WatchSpec;

namespace {

WatchSpec spec_of(const WatchCreateRequest& request) {
  WatchSpec spec;
  spec.watch_id = request.watch_id();
  spec.key = request.key();
  if (spec.key.empty()) spec.key.assign(1, '\0');  // the smallest key
  spec.range_end = request.range_end();
  spec.start_revision = request.start_revision();
  for (const int filter : request.filters()) {
    if (filter == WatchCreateRequest::NOPUT) spec.no_put = true;
    if (filter == WatchCreateRequest::NODELETE) spec.no_delete = true;
  }
  spec.prev_kv = request.prev_kv();
  spec.fragment = request.fragment();
  spec.progress_notify = request.progress_notify();
  return spec;
}

// protobuf's encoding of the few fields that differ between the responses to equal watchers.
void put_varint(std::string* out, uint64_t n) {
  for (; n >= 0x80; n >>= 7) out->push_back(static_cast<char>(n | 0x80));
  out->push_back(static_cast<char>(n));
}
void put_number(std::string* out, int field, uint64_t n) {
  if (n == 0) return;
  out->push_back(static_cast<char>(field << 3));
  put_varint(out, n);
}

}  // namespace

// What the hub and the stream share. The hub calls it on its thread; `stream_` and the scratch are that thread's own.
class WatchStream::Connection final : public store::WatchSink, public std::enable_shared_from_this<Connection> {
 public:
  Connection(const Parts& parts, CallPtr call, std::shared_ptr<Responses> sink)
      : parts_(parts), call_(std::move(call)), sink_(std::move(sink)) {}

  // ---- any thread ----

  void open() {
    const bool posted = parts_.hub->post(
        [self = shared_from_this()](WatchHub& hub) { self->stream_ = hub.open(self, Clock::system().monotonic_ms()); });
    if (!posted) sink_->finish(errors::stopped());
  }

  void request(const WatchRequest& request) {
    switch (request.request_union_case()) {
      case WatchRequest::kCreateRequest:
        return ask([spec = spec_of(request.create_request())](WatchHub& hub, WatchHub::Stream* stream) mutable {
          hub.create(stream, std::move(spec));
        });
      case WatchRequest::kCancelRequest:
        return ask([id = request.cancel_request().watch_id()](WatchHub& hub, WatchHub::Stream* stream) {
          hub.cancel(stream, id);
        });
      case WatchRequest::kProgressRequest:
        return ask([](WatchHub& hub, WatchHub::Stream* stream) { hub.request_progress(stream); });
      case WatchRequest::REQUEST_UNION_NOT_SET: return;  // of a newer client; etcd passes over it too
    }
  }

  // Cancels everything. With a status, the client is told.
  void close(std::optional<Status> status) {
    (void)parts_.hub->post([self = shared_from_this(), status = std::move(status)](WatchHub& hub) {
      if (self->stream_ == nullptr) return;
      if (status) self->sink_->finish(*status);
      hub.close(std::exchange(self->stream_, nullptr));
    });
  }

  size_t waiting() const { return posted_.load() + held_.load(); }

  void when_waiting(size_t below, absl::AnyInvocable<void()> ready) {
    {
      const std::lock_guard lock(mutex_);
      ready_ = std::move(ready);
      ready_below_ = below;
    }
    tell_ready();
  }

  // ---- WatchSink ----

  std::string refuse(const WatchSpec& spec) override {
    auto who = parts_.who(*call_);
    if (!who.ok()) return who.status().text();
    who_ = *std::move(who);
    return parts_.permit(who_, spec.key, spec.range_end).text();
  }
  // A token that has expired meanwhile ends no watch: the user is still the one that it proved to be. If not (another
  // password, another user of that name), the rights say so.
  std::string refuse_again(const WatchSpec& spec) override {
    // Created while nobody was asked who they are, here at least: this member may be the last to learn that it is now.
    if (who_.nobody()) return refuse(spec);
    return parts_.permit(who_, spec.key, spec.range_end).text();
  }

  void created(int64_t watch_id, int64_t revision, std::string_view refused_because) override {
    WatchResponse response = answer(watch_id, revision);
    response.set_created(true);
    response.set_canceled(!refused_because.empty());
    response.set_cancel_reason(std::string(refused_because));
    sink_->write(response);
  }

  void canceled(int64_t watch_id, int64_t revision, int64_t compact_revision, std::string_view reason) override {
    WatchResponse response = answer(watch_id, revision);
    response.set_canceled(true);
    response.set_compact_revision(compact_revision);
    response.set_cancel_reason(std::string(reason));
    sink_->write(response);
  }

  void progress(int64_t watch_id, int64_t revision) override { sink_->write(answer(watch_id, revision)); }

  void events(int64_t watch_id, int64_t revision, const WatchSlice& slice, bool more, bool fragment) override {
    if (!fragment) return write(watch_id, revision, slice, more);
    // At least one event each, and further ones as long as the message stays below the limit.
    constexpr size_t kOtherFieldsBytes = 64;
    WatchSlice part{slice.all, slice.first, slice.first};
    do {
      size_t bytes = kOtherFieldsBytes;
      while (part.last < slice.last) {
        const size_t event = slice.all->events[part.last].end - slice.all->begin_of(part.last);
        if (part.last > part.first && bytes + event >= parts_.max_response_bytes) break;
        bytes += event;
        ++part.last;
      }
      write(watch_id, revision, part, more || part.last < slice.last);
      part.first = part.last;
    } while (part.first < slice.last);
  }

  void failed(const Status& status) override { sink_->finish(status); }

  void held(size_t requests) override {
    held_.store(requests);
    tell_ready();
  }

  size_t queued_bytes() const override { return sink_->queued_bytes(); }

  void call_when_drained(size_t below_bytes) override {
    sink_->on_drained(below_bytes, [self = shared_from_this()] {
      (void)self->parts_.hub->post([self](WatchHub& hub) {
        if (self->stream_ != nullptr) hub.drained(self->stream_);
      });
    });
  }

 private:
  template <typename Request>
  void ask(Request request) {
    posted_.fetch_add(1);
    const bool posted =
        parts_.hub->post([self = shared_from_this(), request = std::move(request)](WatchHub& hub) mutable {
          if (self->stream_ != nullptr) {
            request(hub, self->stream_);
            self->held_.store(hub.held_requests(self->stream_));
          }
          self->posted_.fetch_sub(1);
          self->tell_ready();
        });
    if (!posted) sink_->finish(errors::stopped());
  }

  void tell_ready() {
    absl::AnyInvocable<void()> ready;
    {
      const std::lock_guard lock(mutex_);
      if (!ready_ || waiting() >= ready_below_) return;
      ready = std::exchange(ready_, nullptr);
    }
    ready();
  }

  WatchResponse answer(int64_t watch_id, int64_t revision) const {
    WatchResponse response;
    auto& header = *response.mutable_header();
    header.set_cluster_id(parts_.cluster_id);
    header.set_member_id(parts_.member_id);
    header.set_revision(revision);
    header.set_raft_term(parts_.term->load(std::memory_order_relaxed));
    response.set_watch_id(watch_id);
    return response;
  }

  // The events are encoded already, once for all who watch the same.
  void write(int64_t watch_id, int64_t revision, const WatchSlice& slice, bool more) {
    std::string& header = header_;
    header.clear();
    put_number(&header, 1, parts_.cluster_id);
    put_number(&header, 2, parts_.member_id);
    put_number(&header, 3, static_cast<uint64_t>(revision));
    put_number(&header, 4, parts_.term->load(std::memory_order_relaxed));
    std::string& own = own_;
    own.clear();
    own.push_back(1 << 3 | 2);  // field 1, length-delimited
    put_varint(&own, header.size());
    own += header;
    put_number(&own, 2, static_cast<uint64_t>(watch_id));
    put_number(&own, 7, more ? 1 : 0);
    sink_->write_encoded(own, slice.all, slice.bytes());
  }

  const Parts parts_;
  const CallPtr call_;
  const std::shared_ptr<Responses> sink_;
  WatchHub::Stream* stream_ = nullptr;
  store::Identity who_;  // who created the newest watch
  std::string header_, own_;

  std::atomic<size_t> posted_{0};  // on their way to the hub
  std::atomic<size_t> held_{0};    // in the hub, which can't answer yet
  std::mutex mutex_;               // guards all below
  absl::AnyInvocable<void()> ready_;
  size_t ready_below_ = 0;
};

WatchStream::WatchStream(const Parts& parts, CallPtr call, std::shared_ptr<Responses> sink)
    : connection_(std::make_shared<Connection>(parts, std::move(call), std::move(sink))) {
  connection_->open();
}

WatchStream::~WatchStream() {
  leaderless_.reset();
  connection_->close(std::nullopt);
}

void WatchStream::request(const WatchRequest& request) { connection_->request(request); }

size_t WatchStream::waiting() const { return connection_->waiting(); }

void WatchStream::when_waiting(size_t below, absl::AnyInvocable<void()> ready) {
  connection_->when_waiting(below, std::move(ready));
}

void WatchStream::end(Status status) { connection_->close(std::move(status)); }

void WatchStream::end_without(Leaderless& leaderless) {
  leaderless_ = leaderless.when_lost([connection = connection_] { connection->close(errors::no_leader()); });
}

}  // namespace kv::server
