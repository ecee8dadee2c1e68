#include "raft/transport.h"

#include <sys/random.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/thread.h"
#include "raft/transport_inbound.h"
#include "raft/transport_link.h"
#include "raft/transport_lookup.h"
#include "raft/transport_wire.h"

namespace kv::raft {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// Members that we know by their hello only; removed members that we remember.
constexpr size_t kMaxLearned = 64;
constexpr size_t kMaxRemoved = 4096;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

uint64_t draw() {
  uint64_t value = 0;
  KV_CHECK(getrandom(&value, sizeof value, 0) == sizeof value, "no random bytes");
  return value;
}

// Strangers can make us log; not more than this often.
class LogLimit {
 public:
  // True when a line may be written; `suppressed` is then how many were not since the last.
  bool allow(int64_t now_ms, uint64_t& suppressed) {
    if (now_ms >= window_end_ms_) {
      window_end_ms_ = now_ms + 10000;
      left_ = 10;
    }
    if (left_ == 0) {
      ++suppressed_;
      return false;
    }
    --left_;
    suppressed = std::exchange(suppressed_, 0);
    return true;
  }

 private:
  int64_t window_end_ms_ = 0;
  int left_ = 0;
  uint64_t suppressed_ = 0;
};

// One I/O thread owns all sockets, links and connections; the public calls hand over to it. `mutex_` guards the map
// of links, which senders read.
class AsioTransport final : public Transport, public Inbound::Host {
 public:
  AsioTransport(const Options& options, OnMessages on_messages, OnUnreachable on_unreachable,
                OnStreamLost on_stream_lost, Payloads payloads)
      : options_(options),
        on_messages_(std::move(on_messages)),
        on_unreachable_(std::move(on_unreachable)),
        on_stream_lost_(std::move(on_stream_lost)),
        payloads_(std::move(payloads)),
        random_(draw()),
        tick_timer_(io_),
        accept_timer_(io_),
        lookup_(io_),
        context_{io_,     options_,        draw(),          join_urls(options_.advertise_urls),
                 lookup_, on_unreachable_, on_stream_lost_, payloads_,
                 random_},
        removed_(options_.removed.begin(), options_.removed.end()) {}

  ~AsioTransport() override {
    KV_CHECK(std::this_thread::get_id() != thread_.get_id(), "a transport can't be destroyed by its own callback");
    asio::post(io_, [this] { stop(); });
    if (thread_.joinable()) thread_.join();
  }

  Status listen() {
    for (const std::string& url : options_.listen_urls) {
      const auto place = parse_peer_url(url);
      if (!place.ok()) return place.status();
      if (place->secure && !options_.tls) {
        return {Code::kInvalidArgument, "peer URL \"" + url + "\": https needs a peer certificate and its key"};
      }
      if (!place->secure && options_.tls) {
        log_warning("a peer URL is http although there is a peer certificate: it is served without TLS",
                    {{"url", url}});
      }
      const auto endpoints = NameLookup::resolve(*place);
      if (endpoints.empty()) return {Code::kInvalidArgument, "peer URL \"" + url + "\": unknown host"};
      error_code error;
      asio::ip::tcp::acceptor acceptor(io_);
      acceptor.open(endpoints.front().protocol(), error);
      if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
      if (!error) acceptor.bind(endpoints.front(), error);
      if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
      if (!error) bound_ports_.push_back(acceptor.local_endpoint(error).port());
      if (error) return {Code::kUnavailable, "can't listen for peers on " + url + ": " + error.message()};
      acceptors_.push_back({std::move(acceptor), place->secure});
    }
    return {};
  }

  void run() {
    for (Listener& listener : acceptors_) accept(listener);
    schedule_tick();
    thread_ = std::thread([this] {
      name_this_thread("kvd-peers");
      io_.run();
    });
  }

  void add_peer(const PeerAddress& peer) override {
    if (peer.id == options_.id || !peer.id) return;
    std::vector<HostPort> addresses;
    for (const std::string& url : peer.urls) {
      const auto place = parse_peer_url(url);
      if (place.ok()) {
        addresses.push_back(*place);
      } else {
        log_error("a peer's URL is left out", {{"peer", hex_id(peer.id.value())}, {"why", place.status().text()}});
      }
    }
    asio::post(io_, [this, link = find_or_make(peer.id), addresses = std::move(addresses)]() mutable {
      if (stopped_) return;
      removed_.erase(link->id());
      link->learned = false;
      link->set_addresses(std::move(addresses));
    });
  }

  void remove_peer(NodeId id) override {
    std::shared_ptr<PeerLink> link;
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = links_.find(id); found != links_.end()) {
        link = std::move(found->second);
        links_.erase(found);
      }
    }
    asio::post(io_, [this, id, link] {
      if (stopped_) return;
      if (link) link->close();
      if (payloads_.broken) payloads_.broken(id);
      if (removed_.size() >= kMaxRemoved) removed_.erase(removed_.begin());
      removed_.insert(id);
      if (const auto stream = streams_.find(id); stream != streams_.end()) {
        stream->second->close();
        streams_.erase(stream);
      }
    });
  }

  void send(std::vector<Message> messages) override {
    bool flush = false;
    {
      const std::lock_guard lock(mutex_);
      for (Message& message : messages) {
        if (const auto found = links_.find(message.to); found != links_.end()) {
          flush = found->second->push(std::move(message)) || flush;
        }
      }
    }
    // One hand-over for all that was sent until the I/O thread gets to it.
    if (flush && !flush_posted_.exchange(true)) asio::post(io_, [this] { flush_links(); });
  }

  bool send_payload(NodeId to, std::string payload) override {
    PeerLink::Queued queued;
    {
      const std::lock_guard lock(mutex_);
      const auto found = links_.find(to);
      if (found == links_.end()) return false;
      queued = found->second->push_payload(std::move(payload));
    }
    if (queued == PeerLink::Queued::kFlush && !flush_posted_.exchange(true)) asio::post(io_, [this] { flush_links(); });
    return queued != PeerLink::Queued::kRefused;
  }

  Forwards forwards_to(NodeId peer) const override {
    const std::lock_guard lock(mutex_);
    const auto found = links_.find(peer);
    if (found == links_.end() || found->second->protocol() == 0) return Forwards::kLost;
    return found->second->protocol() < kForwardInTermProtocol ? Forwards::kInAnyTerm : Forwards::kInTheirTerm;
  }

  std::vector<PeerStats> stats() const override {
    std::vector<PeerStats> all;
    const std::lock_guard lock(mutex_);
    for (const auto& [id, link] : links_) all.push_back(link->stats());
    return all;
  }

  std::vector<uint16_t> bound_ports() const override { return bound_ports_; }

 private:
  struct Listener {
    asio::ip::tcp::acceptor acceptor;
    bool secure;  // by TLS
  };

  std::shared_ptr<PeerLink> find_or_make(NodeId id) {
    const std::lock_guard lock(mutex_);
    auto& link = links_[id];
    if (!link) link = std::make_shared<PeerLink>(context_, id);
    return link;
  }

  std::vector<std::shared_ptr<PeerLink>> all_links() const {
    std::vector<std::shared_ptr<PeerLink>> all;
    const std::lock_guard lock(mutex_);
    for (const auto& [id, link] : links_) all.push_back(link);
    return all;
  }

  void flush_links() {
    flush_posted_.store(false);
    if (stopped_) return;
    for (const auto& link : all_links()) link->flush();
  }

  // Closes everything, so that run() ends when the cancelled operations have come home.
  void stop() {
    stopped_ = true;
    work_.reset();
    tick_timer_.cancel();
    accept_timer_.cancel();
    error_code ignored;
    for (Listener& listener : acceptors_) listener.acceptor.close(ignored);
    for (const auto& stranger : strangers_) stranger->close();
    for (const auto& [id, stream] : streams_) stream->close();
    for (const auto& link : all_links()) link->close();
    strangers_.clear();
    streams_.clear();
  }

  // ---- connections that come in ----

  void accept(Listener& listener) {
    listener.acceptor.async_accept([this, &listener](const error_code& error, asio::ip::tcp::socket socket) {
      if (stopped_) return;
      if (error) {
        // Out of file descriptors, most likely: wait instead of spinning; the backlog holds the callers.
        uint64_t suppressed = 0;
        if (accept_log_.allow(now_ms(), suppressed)) {
          log_error("can't accept a peer's connection", {{"why", error.message()}, {"suppressed", suppressed}});
        }
        accept_timer_.expires_after(kAcceptPause);
        accept_timer_.async_wait([this, &listener](const error_code&) {
          if (!stopped_) accept(listener);
        });
        return;
      }
      // The oldest stranger goes, not the newest: one that is honest says hello at once.
      if (strangers_.size() >= std::max<size_t>(1, options_.max_strangers)) {
        strangers_.front()->fail("too many connections that did not say hello");
      }
      strangers_.push_back(std::make_shared<Inbound>(*this, std::move(socket), now_ms(),
                                                     listener.secure ? options_.tls.get() : nullptr));
      strangers_.back()->start();
      accept(listener);
    });
  }

  const Options& inbound_options() const override { return options_; }

  Welcome admit(Inbound& connection, const Hello& hello) override {
    if (hello.cluster_id != options_.cluster_id) return Welcome::kWrongCluster;
    if (hello.receiver != options_.id) return Welcome::kWrongReceiver;
    if (hello.sender == options_.id || !hello.sender) return Welcome::kDuplicateSender;
    if (removed_.contains(hello.sender)) return Welcome::kRemovedSender;
    if (options_.check_dialler_names && !connection.is_good_for(hosts_of(hello))) return Welcome::kWrongCertificate;
    if (const auto old = streams_.find(hello.sender); old != streams_.end()) {
      // The same process reconnects: its old stream is dead, whatever our kernel thinks. Another process is a
      // restart, unless the old one still talks: then two claim the same id, and the one that was first keeps it.
      const bool alive = now_ms() - old->second->last_read_ms() < options_.idle_timeout_ms / 2;
      if (old->second->instance() != hello.instance && alive) return Welcome::kDuplicateSender;
      log_info("a peer's new stream replaces its old one",
               {{"peer", hex_id(hello.sender.value())}, {"address", connection.address()}});
      old->second->close();
      streams_.erase(old);
      if (payloads_.broken) payloads_.broken(hello.sender);
    }
    if (!knows(hello.sender) && !learn(hello)) return Welcome::kTooMany;
    const auto self = connection.shared_from_this();
    strangers_.remove(self);
    streams_.emplace(hello.sender, self);
    find_or_make(hello.sender)->dial_now();
    return Welcome::kAccepted;
  }

  // The hosts of the sender's peer URLs: as the cluster knows them, or else as it says itself.
  std::vector<std::string> hosts_of(const Hello& hello) const {
    std::vector<std::string> hosts;
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = links_.find(hello.sender); found != links_.end()) {
        for (const HostPort& place : found->second->addresses()) hosts.push_back(place.host);
      }
    }
    if (!hosts.empty()) return hosts;
    for (const std::string& url : split_urls(hello.urls)) {
      if (const auto place = parse_peer_url(url); place.ok()) hosts.push_back(place->host);
    }
    return hosts;
  }

  bool knows(NodeId id) const {
    const std::lock_guard lock(mutex_);
    return links_.contains(id);
  }

  // A member that this one has not heard of yet: heard, and answered where its hello says.
  bool learn(const Hello& hello) {
    size_t learned = 0;
    for (const auto& link : all_links()) learned += link->learned ? 1 : 0;
    if (learned >= kMaxLearned) return false;
    std::vector<HostPort> addresses;
    for (const std::string& url : split_urls(hello.urls)) {
      if (const auto place = parse_peer_url(url); place.ok()) addresses.push_back(*place);
    }
    log_info("a member unknown here said hello", {{"peer", hex_id(hello.sender.value())}, {"urls", hello.urls}});
    const auto link = find_or_make(hello.sender);
    link->learned = true;
    link->set_addresses(std::move(addresses));
    return true;
  }

  void deliver(Inbound& connection, std::vector<Message>&& messages, uint64_t bytes) override {
    const auto appends = std::count_if(messages.begin(), messages.end(), [](const Message& message) {
      return std::holds_alternative<AppendRequest>(message.body);
    });
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = links_.find(connection.peer()); found != links_.end())
        found->second->add_received(bytes, static_cast<uint64_t>(appends));
    }
    if (!messages.empty()) on_messages_(std::move(messages));
  }

  bool deliver_payload(Inbound& connection, std::string_view payload) override {
    return payloads_.received && payloads_.received(connection.peer(), payload);
  }

  void closed(Inbound& connection, bool stranger, std::string_view why) override {
    const auto self = connection.shared_from_this();
    if (stranger) {
      strangers_.remove(self);
      uint64_t suppressed = 0;
      if (why.empty()) return;
      if (stranger_log_.allow(now_ms(), suppressed)) {
        log_warning("closed a connection to the peer port",
                    {{"address", connection.address()}, {"why", why}, {"suppressed", suppressed}});
      }
      return;
    }
    log_info("a peer's stream to us ended",
             {{"peer", hex_id(connection.peer().value())}, {"address", connection.address()}, {"why", why}});
    const auto stream = streams_.find(connection.peer());
    if (stream == streams_.end() || stream->second != self) return;
    streams_.erase(stream);
    if (payloads_.broken) payloads_.broken(connection.peer());
    std::shared_ptr<PeerLink> forgotten;
    {
      const std::lock_guard lock(mutex_);
      const auto link = links_.find(connection.peer());
      if (link == links_.end()) return;
      if (why != "closed") link->second->add_failed_receive();
      if (!link->second->learned) return;
      forgotten = std::move(link->second);
      links_.erase(link);
    }
    forgotten->close();
  }

  // ---- time ----

  static int64_t now_ms() { return Clock::system().monotonic_ms(); }

  void schedule_tick() {
    const int64_t shortest = std::min({options_.hello_timeout_ms, options_.idle_timeout_ms, int64_t{4000}});
    tick_timer_.expires_after(std::chrono::milliseconds(std::max<int64_t>(5, shortest / 4)));
    tick_timer_.async_wait([this](const error_code&) {
      if (stopped_) return;
      const int64_t now = now_ms();
      // fail() takes the connection out of its container.
      for (const auto& stranger : std::list(strangers_)) {
        if (now - stranger->accepted_ms() >= options_.hello_timeout_ms) stranger->fail("no hello in time");
      }
      for (const auto& [id, stream] : std::map(streams_)) {
        if (now - stream->last_read_ms() >= options_.idle_timeout_ms) stream->fail("silent for too long");
      }
      for (const auto& link : all_links()) link->tick(now);
      schedule_tick();
    });
  }

  const Options options_;
  OnMessages on_messages_;
  OnUnreachable on_unreachable_;
  OnStreamLost on_stream_lost_;
  Payloads payloads_;

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::thread thread_;
  std::atomic<bool> flush_posted_{false};
  std::vector<uint16_t> bound_ports_;  // constant once started

  // Owned by the thread.
  bool stopped_ = false;
  Random random_;
  asio::steady_timer tick_timer_;
  asio::steady_timer accept_timer_;
  std::list<Listener> acceptors_;  // a list: handlers refer to its elements
  NameLookup lookup_;
  PeerLink::Context context_;
  std::list<std::shared_ptr<Inbound>> strangers_;       // oldest first
  std::map<NodeId, std::shared_ptr<Inbound>> streams_;  // the one stream of each peer
  std::set<NodeId> removed_;
  LogLimit stranger_log_;
  LogLimit accept_log_;

  mutable std::mutex mutex_;  // guards links_
  std::map<NodeId, std::shared_ptr<PeerLink>> links_;
};

Status check(const Transport::Options& options) {
  if (!options.id) return {Code::kInvalidArgument, "a member needs an id other than 0"};
  if (options.max_frame_bytes < 1024 || options.max_frame_bytes > (size_t{1} << 30)) {
    return {Code::kInvalidArgument, "max_frame_bytes must be between 1 KiB and 1 GiB"};
  }
  if (options.hello_timeout_ms <= 0 || options.idle_timeout_ms <= 0) {
    return {Code::kInvalidArgument, "timeouts must be above 0"};
  }
  if (join_urls(options.advertise_urls).size() > kMaxHelloUrlsBytes) {
    return {Code::kInvalidArgument, "the advertised peer URLs are too long"};
  }
  for (const std::string& url : options.advertise_urls) {
    if (const auto place = parse_peer_url(url); !place.ok()) return place.status();
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Transport>> Transport::start(const Options& options, OnMessages on_messages,
                                                    OnUnreachable on_unreachable, OnStreamLost on_stream_lost,
                                                    Payloads payloads) {
  KV_RETURN_IF_ERROR(check(options));
  auto transport = std::make_unique<AsioTransport>(options, std::move(on_messages), std::move(on_unreachable),
                                                   std::move(on_stream_lost), std::move(payloads));
  KV_RETURN_IF_ERROR(transport->listen());
  transport->run();
  return std::unique_ptr<Transport>(std::move(transport));
}

}  // namespace kv::raft
