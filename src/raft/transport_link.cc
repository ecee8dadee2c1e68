#include "raft/transport_link.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <chrono>
#include <span>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

namespace kv::raft {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// While the first dial after add_peer() or after a loss is under way the peer may well be there in a moment, so
// messages wait for it; but not many.
constexpr size_t kOptimisticQueueBytes = 1 << 20;

int64_t now_ms() { return Clock::system().monotonic_ms(); }

uint64_t now_ns() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

}  // namespace

PeerLink::PeerLink(Context& context, NodeId id)
    : context_(context),
      id_(id),
      socket_(context.io),
      timer_(context.io),
      queue_limit_(std::min(kOptimisticQueueBytes, context.options.max_queued_bytes)) {}

bool PeerLink::push(Message&& message) {
  const size_t bytes = message_bytes(message);
  const std::lock_guard lock(mutex_);
  // A lone message passes whatever its size, or a small limit would stop it for ever.
  if (!accepting_ || (queued_bytes_ > 0 && queued_bytes_ + bytes > queue_limit_)) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    lost_since_told_ = true;
    if (told_) return false;
    told_ = tell_ = true;
    return true;
  }
  queued_bytes_ += bytes;
  if (std::holds_alternative<AppendRequest>(message.body)) ++sent_appends_;
  waiting_.push_back(std::move(message));
  return waiting_.size() == 1;
}

PeerLink::Queued PeerLink::push_payload(std::string&& payload) {
  if (payload.size() > context_.options.max_payload_bytes) return Queued::kRefused;
  const std::lock_guard lock(mutex_);
  if (protocol() < kPayloadProtocol || payload_bytes_ + payload.size() > context_.options.max_queued_payload_bytes) {
    return Queued::kRefused;
  }
  payload_bytes_ += payload.size();
  waiting_payloads_.push_back(std::move(payload));
  return waiting_payloads_.size() == 1 ? Queued::kFlush : Queued::kYes;
}

PeerStats PeerLink::stats() const {
  PeerStats stats;
  stats.id = id_;
  stats.connected = protocol() != 0;
  stats.sent_bytes = sent_bytes_.load(std::memory_order_relaxed);
  stats.received_bytes = received_bytes_.load(std::memory_order_relaxed);
  stats.dropped_messages = dropped_.load(std::memory_order_relaxed);
  stats.lost_streams = lost_streams_.load(std::memory_order_relaxed);
  stats.failed_receives = failed_receives_.load(std::memory_order_relaxed);
  stats.received_appends = received_appends_.load(std::memory_order_relaxed);
  stats.round_trip_seconds = round_trip_seconds_.load(std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  stats.sent_appends = sent_appends_;
  stats.round_trips = measured_;
  return stats;
}

void PeerLink::set_addresses(std::vector<HostPort> addresses) {
  addresses_ = std::move(addresses);
  next_address_ = 0;
  if (state_ == State::kIdle && !addresses_.empty()) dial();
}

// ---- dialling ----------------------------------------------------------------------------------------------

void PeerLink::dial_now() {
  if (state_ == State::kWaiting) dial();
}

void PeerLink::dial() {
  if (state_ == State::kClosed) return;
  reset_stream();
  if (addresses_.empty()) {
    state_ = State::kIdle;
    return;
  }
  state_ = State::kConnecting;
  const uint64_t generation = generation_;
  const HostPort place = addresses_[next_address_++ % addresses_.size()];
  timer_.expires_after(std::chrono::milliseconds(context_.options.hello_timeout_ms));
  timer_.async_wait([self = shared_from_this(), generation](const error_code& error) {
    if (!error && generation == self->generation_) self->fail("no answer in time");
  });
  context_.lookup.start(place, [self = shared_from_this(), generation, place](const NameLookup::Endpoints& found) {
    if (generation != self->generation_) return;
    if (found.empty()) return self->fail("unknown host " + place.host);
    self->connect(place, found);
  });
}

void PeerLink::connect(const HostPort& place, const std::vector<tcp::endpoint>& endpoints) {
  if (place.secure && !context_.options.tls) return fail("its URL is https, and this member has no peer certificate");
  asio::async_connect(
      socket_.tcp(), endpoints,
      [self = shared_from_this(), generation = generation_, place](const error_code& error, const auto&) {
        if (generation != self->generation_) return;
        if (error) return self->fail(error.message());
        if (place.secure) self->socket_.dial_tls(*self->context_.options.tls, place.host);
        self->say_hello();
      });
}

void PeerLink::say_hello() {
  error_code ignored;
  socket_.tcp().set_option(tcp::no_delay(true), ignored);
  socket_.tcp().set_option(asio::socket_base::keep_alive(true), ignored);
  Hello hello;
  hello.cluster_id = context_.options.cluster_id;
  hello.sender = context_.options.id;
  hello.receiver = id_;
  hello.instance = context_.instance;
  hello.urls = context_.hello_urls;
  hello_ = encode(hello);
  socket_.write_all(asio::buffer(hello_),
                    [self = shared_from_this(), generation = generation_](const error_code& error, size_t) {
                      if (generation != self->generation_) return;
                      if (error) return self->fail(self->socket_.why(error));
                      self->read_reply(0);
                    });
}

void PeerLink::read_reply(size_t have) {
  static_assert(sizeof read_buffer_ >= kHelloReplyBytes);
  socket_.read_some(asio::buffer(read_buffer_ + have, kHelloReplyBytes - have),
                    [self = shared_from_this(), generation = generation_, have](const error_code& error, size_t n) {
                      if (generation != self->generation_) return;
                      if (error) return self->fail("closed before it answered the hello: " + self->socket_.why(error));
                      if (have + n < kHelloReplyBytes) return self->read_reply(have + n);
                      const auto reply = decode_hello_reply({self->read_buffer_, kHelloReplyBytes});
                      if (!reply) return self->fail("the answer to the hello is not kvd's");
                      const auto& options = self->context_.options;
                      std::string ids = "; it is member " + hex_id(reply->sender.value()) + " of cluster " +
                                        hex_id(reply->cluster_id) + ", this is member " + hex_id(options.id.value()) +
                                        " of cluster " + hex_id(options.cluster_id);
                      if (reply->welcome == Welcome::kRemovedSender && reply->cluster_id == options.cluster_id &&
                          reply->sender == self->id_ && options.on_removed) {
                        options.on_removed(self->id_);
                      }
                      if (reply->welcome != Welcome::kAccepted) {
                        return self->fail("refused: " + std::string(welcome_text(reply->welcome)) + ids);
                      }
                      // It checked; so do we, because a peer that accepts the wrong member must not get our messages
                      // either.
                      if (reply->cluster_id != options.cluster_id) return self->fail("cluster id mismatch" + ids);
                      if (reply->sender != self->id_) return self->fail("the address belongs to another member" + ids);
                      if (reply->protocol < kOldestProtocol || reply->protocol > kNewestProtocol) {
                        return self->fail("it chose protocol version " + std::to_string(reply->protocol));
                      }
                      self->established(reply->protocol);
                    });
}

void PeerLink::established(uint16_t protocol) {
  state_ = State::kConnected;
  failures_ = 0;
  last_failure_.clear();
  timer_.cancel();
  error_code ignored;
  const auto remote = socket_.tcp().remote_endpoint(ignored);
  log_info(
      "peer stream established",
      {{"peer", hex_id(id_.value())}, {"address", remote.address().to_string() + ":" + std::to_string(remote.port())}});
  bool tell;
  {
    const std::lock_guard lock(mutex_);
    accepting_ = true;
    queue_limit_ = context_.options.max_queued_bytes;
    protocol_.store(protocol, std::memory_order_relaxed);
    tell = lost_since_told_;
    told_ = lost_since_told_ = tell_ = false;
  }
  // What was dropped since the core was told makes a gap that it should know of before it goes on.
  if (tell) context_.on_unreachable(id_);
  make_ping_due();
  read_pongs();
  flush();
}

void PeerLink::fail(std::string_view why) {
  const bool was_connected = state_ == State::kConnected;
  if (was_connected) {
    lost_streams_.fetch_add(1, std::memory_order_relaxed);
    log_warning("peer stream lost", {{"peer", hex_id(id_.value())}, {"why", why}});
  } else if (last_failure_ != why) {  // once per cause, not once per attempt
    log_warning("no peer stream", {{"peer", hex_id(id_.value())}, {"why", why}});
    last_failure_ = why;
  }
  reset_stream();
  {
    const std::lock_guard lock(mutex_);
    dropped_.fetch_add(waiting_.size(), std::memory_order_relaxed);
    if (!waiting_.empty()) lost_since_told_ = true;
    waiting_.clear();
    queued_bytes_ = 0;
    // After the loss of a stream that worked, the next dial is given a chance.
    accepting_ = was_connected;
    queue_limit_ = std::min(kOptimisticQueueBytes, context_.options.max_queued_bytes);
    tell_ = tell_ || !told_ || was_connected;
    told_ = true;
  }
  state_ = State::kWaiting;
  tell_unreachable();
  if (was_connected && context_.on_stream_lost) context_.on_stream_lost(id_);
  if (was_connected && context_.payloads.broken) context_.payloads.broken(id_);
  if (state_ != State::kWaiting) return;

  const auto& options = context_.options;
  const int64_t longest = std::max<int64_t>(1, options.reconnect_max_ms);
  int64_t wait = std::max<int64_t>(1, options.reconnect_min_ms);
  for (unsigned i = 0; i < failures_ && wait < longest; ++i) wait *= 2;
  wait = std::min(wait, longest);
  ++failures_;
  // Half of it is drawn, so that members that lost each other at once don't meet at once again.
  const auto drawn = static_cast<int64_t>(context_.random.below(static_cast<uint64_t>(wait / 2 + 1)));
  timer_.expires_after(std::chrono::milliseconds(wait - drawn));
  timer_.async_wait([self = shared_from_this(), generation = generation_](const error_code& error) {
    if (!error && generation == self->generation_) self->dial();
  });
}

void PeerLink::tell_unreachable() {
  {
    const std::lock_guard lock(mutex_);
    if (!tell_) return;
    tell_ = lost_since_told_ = false;
  }
  context_.on_unreachable(id_);
}

// Handlers of the old stream find another generation and touch nothing.
void PeerLink::reset_stream() {
  ++generation_;
  timer_.cancel();
  socket_.close();
  writing_ = ping_due_ = awaiting_pong_ = false;
  frames_sent_ = frames_read_ = 0;
  read_size_ = 0;
  pieces_.clear();
  gather_.clear();
  payload_batch_.clear();
  gather_payload_bytes_ = 0;
  const std::lock_guard lock(mutex_);
  protocol_.store(0, std::memory_order_relaxed);
  waiting_payloads_.clear();
  payload_bytes_ = 0;
  if (gather_bytes_ > 0) {
    queued_bytes_ -= std::min(queued_bytes_, gather_bytes_);
    lost_since_told_ = true;
    gather_bytes_ = 0;
  }
}

void PeerLink::close() {
  state_ = State::kClosed;
  reset_stream();
  const std::lock_guard lock(mutex_);
  accepting_ = false;
  told_ = true;
  waiting_.clear();
}

// ---- writing -----------------------------------------------------------------------------------------------

void PeerLink::flush() {
  tell_unreachable();
  if (state_ == State::kConnected && !writing_) write();
}

// Encodes all that waits and starts to write it.
void PeerLink::write() {
  batch_.clear();
  {
    const std::lock_guard lock(mutex_);
    batch_.swap(waiting_);
    payload_batch_.swap(waiting_payloads_);
    // All of queued_bytes_ is now in the batch: nothing was being written.
    gather_bytes_ = queued_bytes_;
    gather_payload_bytes_ = payload_bytes_;
  }
  gather_.clear();
  for (const Message& message : batch_) {
    const Gather::Mark start = gather_.mark();
    const size_t body = append_message_frame(message, frames_sent_, gather_);
    if (body > context_.options.max_frame_bytes) {
      gather_.rewind(start);
      dropped_.fetch_add(1, std::memory_order_relaxed);
      log_error("a message is longer than a frame may be; dropped",
                {{"peer", hex_id(id_.value())}, {"bytes", body}, {"limit", context_.options.max_frame_bytes}});
    } else {
      ++frames_sent_;
    }
  }
  batch_.clear();
  for (const std::string& payload : payload_batch_) gather_.append(payload_frame(payload, frames_sent_++));
  payload_batch_.clear();
  if (ping_due_) {
    ping_due_ = false;
    awaiting_pong_ = true;
    gather_.append(small_frame(FrameKind::kPing, now_ns(), frames_sent_++));
  }
  pieces_.clear();
  piece_ = 0;
  gather_.pieces(pieces_);
  writing_ = true;
  write_rest();
}

void PeerLink::write_rest() {
  while (piece_ < pieces_.size() && pieces_[piece_].size == 0) ++piece_;
  if (piece_ == pieces_.size()) {
    writing_ = false;
    gather_.clear();
    pieces_.clear();
    bool more;
    {
      const std::lock_guard lock(mutex_);
      queued_bytes_ -= gather_bytes_;
      gather_bytes_ = 0;
      payload_bytes_ -= gather_payload_bytes_;
      gather_payload_bytes_ = 0;
      more = !waiting_.empty() || !waiting_payloads_.empty();
      if (queued_bytes_ < queue_limit_ / 2 && !lost_since_told_) told_ = false;
      if (queued_bytes_ < queue_limit_ / 2 && lost_since_told_) {
        // The queue ran full and has room again: what was dropped meanwhile is a gap.
        told_ = false;
        tell_ = true;
      }
    }
    tell_unreachable();
    if ((more || ping_due_) && state_ == State::kConnected) write();
    return;
  }
  // One writev for as many pieces as the kernel takes. (asio::async_write would cut it at 64 KiB a call.)
  const size_t count = std::min(iov_.size(), pieces_.size() - piece_);
  for (size_t i = 0; i < count; ++i) iov_[i] = {pieces_[piece_ + i].data, pieces_[piece_ + i].size};
  socket_.write_some(std::span<const asio::const_buffer>(iov_.data(), count),
                     [self = shared_from_this(), generation = generation_](const error_code& error, size_t n) {
                       if (generation != self->generation_) return;
                       if (error) return self->fail(self->socket_.why(error));
                       self->sent_bytes_.fetch_add(n, std::memory_order_relaxed);
                       self->last_progress_ms_ = now_ms();
                       while (n > 0) {
                         Gather::Piece& piece = self->pieces_[self->piece_];
                         const size_t step = std::min(n, piece.size);
                         piece.data += step;
                         piece.size -= step;
                         n -= step;
                         if (piece.size == 0) ++self->piece_;
                       }
                       self->write_rest();
                     });
}

// ---- pings -------------------------------------------------------------------------------------------------

void PeerLink::make_ping_due() {
  ping_due_ = true;
  last_ping_ms_ = last_progress_ms_ = now_ms();
}

void PeerLink::tick(int64_t now) {
  if (state_ != State::kConnected) return;
  const int64_t idle = context_.options.idle_timeout_ms;
  if (ping_due_ || awaiting_pong_) {
    // A long queue delays the ping; as long as the peer takes bytes it is alive.
    if (now - last_progress_ms_ >= idle) fail("it neither took a byte nor answered a ping in time");
  } else if (now - last_ping_ms_ >= std::min<int64_t>(1000, idle / 4)) {
    make_ping_due();
    flush();
  }
}

void PeerLink::read_pongs() {
  socket_.read_some(asio::buffer(read_buffer_ + read_size_, sizeof read_buffer_ - read_size_),
                    [self = shared_from_this(), generation = generation_](const error_code& error, size_t n) {
                      if (generation != self->generation_) return;
                      if (error) return self->fail(self->socket_.why(error));
                      self->read_size_ += n;
                      self->on_pong_bytes();
                    });
}

// A member that is known by its hello alone gets no series: they live for ever, and anybody can say hello.
void PeerLink::observe_round_trip(double seconds) {
  {
    const std::lock_guard lock(mutex_);
    if (measured_.count++ == 0) measured_.shortest_seconds = seconds;
    measured_.sum_seconds += seconds;
    measured_.sum_of_squares += seconds * seconds;
    measured_.shortest_seconds = std::min(measured_.shortest_seconds, seconds);
    measured_.longest_seconds = std::max(measured_.longest_seconds, seconds);
  }
  if (learned) return;
  if (round_trips_ == nullptr) {
    round_trips_ = &Metrics::global().histogram("etcd_network_peer_round_trip_time_seconds",
                                                "Round-Trip-Time histogram between peers.",
                                                Histogram::exponential(0.0001, 2, 16), {{"To", hex_id(id_.value())}});
  }
  round_trips_->observe(seconds);
}

void PeerLink::on_pong_bytes() {
  size_t at = 0;
  while (true) {
    const FrameRead frame = read_frame({read_buffer_ + at, read_size_ - at}, frames_read_, sizeof(uint64_t));
    if (frame.state == FrameRead::State::kIncomplete) break;
    const auto sent_ns = read_small_body(frame.body);
    if (frame.state != FrameRead::State::kWhole || frame.kind != FrameKind::kPong || !sent_ns || !awaiting_pong_) {
      return fail("it sent something else than the answer to a ping");
    }
    ++frames_read_;
    at += frame.size;
    awaiting_pong_ = false;
    const double round_trip_seconds = static_cast<double>(now_ns() - *sent_ns) / 1e9;
    round_trip_seconds_.store(round_trip_seconds, std::memory_order_relaxed);
    observe_round_trip(round_trip_seconds);
  }
  std::copy(read_buffer_ + at, read_buffer_ + read_size_, read_buffer_);
  read_size_ -= at;
  read_pongs();
}

}  // namespace kv::raft
