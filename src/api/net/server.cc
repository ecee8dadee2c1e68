#include "api/net/server.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "api/net/connection.h"
#include "api/net/core.h"
#include "api/net/io_thread.h"
#include "base/log.h"

namespace kv::api {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kBacklog = 1024;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);  // when there are no file descriptors left

struct Address {
  std::string url;
  bool secure;
  tcp::endpoint endpoint;
};

Result<Address> parse_url(const std::string& url) {
  const auto bad = [&](const std::string& why) {
    return Status(Code::kInvalidArgument, "listen URL \"" + url + "\": " + why);
  };
  std::string_view rest = url;
  const bool secure = rest.starts_with("https://");
  if (!secure && !rest.starts_with("http://")) return bad("must begin with http:// or https://");
  rest.remove_prefix(secure ? 8 : 7);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || rest.find(']', colon) != std::string_view::npos) return bad("has no port");
  std::string host(rest.substr(0, colon));
  const std::string_view port_text = rest.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, parsed] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (port_text.empty() || parsed != std::errc() || end != port_text.data() + port_text.size()) {
    return bad("has no valid port");
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error) return bad("needs an IP address to bind to");
  return Address{url, secure, tcp::endpoint(address, port)};
}

class NetServer;

// Accepts on one address, and spreads the connections over the I/O threads. On the first I/O thread.
class Listener {
 public:
  Listener(NetServer& server, IoThread& thread)
      : server_(server), acceptor_(thread.context()), pause_(thread.context()) {}

  Status bind(const Address& address);
  void accept();
  void close() {
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
  }
  uint16_t port() const { return port_; }

 private:
  void on_accept(const error_code& error, IoThread& thread, tcp::socket socket);

  NetServer& server_;
  bool secure_ = false;
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  uint16_t port_ = 0;
};

class NetServer final : public Server {
 public:
  explicit NetServer(std::shared_ptr<ServerCore> core);
  ~NetServer() override;

  Status bind();
  void start() override;
  void drain(int64_t grace_ms) override;
  std::vector<uint16_t> bound_ports() const override;
  size_t connections() const override { return core_->connections.load(std::memory_order_relaxed); }

  // On the first I/O thread: the thread that the next connection will live on.
  IoThread& next_thread() { return *threads_[next_++ % threads_.size()]; }
  const std::shared_ptr<ServerCore>& core() const { return core_; }

 private:
  void stop();
  // Runs `work` on `thread` and waits for it.
  static void run_on(IoThread& thread, absl::AnyInvocable<void()> work);

  const std::shared_ptr<ServerCore> core_;
  std::vector<std::shared_ptr<IoThread>> threads_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  size_t next_ = 0;
  bool started_ = false;
  bool stopped_ = false;
};

Status Listener::bind(const Address& address) {
  error_code error;
  const auto failed = [&] { return Status(Code::kUnavailable, "listen on " + address.url + ": " + error.message()); };
  secure_ = address.secure;
  if (acceptor_.open(address.endpoint.protocol(), error)) return failed();
  if (acceptor_.set_option(tcp::acceptor::reuse_address(true), error)) return failed();
  if (address.endpoint.address().is_v6() && !address.endpoint.address().is_unspecified()) {
    acceptor_.set_option(asio::ip::v6_only(true), error);
    if (error) return failed();
  }
  if (acceptor_.bind(address.endpoint, error)) return failed();
  if (acceptor_.listen(kBacklog, error)) return failed();
  port_ = acceptor_.local_endpoint(error).port();
  return error ? failed() : Status();
}

void Listener::accept() {
  if (!acceptor_.is_open()) return;
  IoThread& thread = server_.next_thread();
  acceptor_.async_accept(thread.context(), [this, &thread](const error_code& error, tcp::socket socket) {
    on_accept(error, thread, std::move(socket));
  });
}

void Listener::on_accept(const error_code& error, IoThread& thread, tcp::socket socket) {
  if (error == asio::error::operation_aborted) return;
  if (error == asio::error::no_descriptors || error == asio::error::no_memory ||
      error == asio::error::no_buffer_space) {
    log_warning("cannot accept connections for now", {{"error", error.message()}});
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](const error_code& cancelled) {
      if (!cancelled) accept();
    });
    return;
  }
  if (!error && server_.connections() < server_.core()->options.max_connections) {
    thread.post([core = server_.core(), &thread, socket = std::move(socket), secure = secure_]() mutable {
      auto made = secure ? make_tls_socket(std::move(socket), *core->options.tls) : make_tcp_socket(std::move(socket));
      Connection::start(std::move(core), thread, std::move(made));
    });
  }
  accept();
}

NetServer::NetServer(std::shared_ptr<ServerCore> core) : core_(std::move(core)) {
  for (int i = 0; i < std::max(core_->options.io_threads, 1); ++i) {
    threads_.push_back(std::make_shared<IoThread>("api-io-" + std::to_string(i), core_));
  }
}

NetServer::~NetServer() { stop(); }

Status NetServer::bind() {
  for (const std::string& url : core_->options.listen_urls) {
    Result<Address> address = parse_url(url);
    if (!address.ok()) return address.status();
    if (address->secure && !core_->options.tls) {
      return {Code::kInvalidArgument, "listen URL \"" + url + "\": https needs a certificate and its key"};
    }
    if (!address->secure && core_->options.tls) {
      log_warning("a client URL is http although there is a certificate: it is served without TLS", {{"url", url}});
    }
    auto listener = std::make_unique<Listener>(*this, *threads_[0]);
    KV_RETURN_IF_ERROR(listener->bind(*address));
    listeners_.push_back(std::move(listener));
  }
  if (listeners_.empty()) return {Code::kInvalidArgument, "no listen URL is given"};
  return {};
}

void NetServer::start() {
  KV_CHECK(!std::exchange(started_, true), "a server is started once");
  for (const auto& thread : threads_) thread->start();
  threads_[0]->post([this] {
    for (const auto& listener : listeners_) listener->accept();
  });
}

void NetServer::run_on(IoThread& thread, absl::AnyInvocable<void()> work) {
  std::mutex mutex;
  std::condition_variable ready;
  bool done = false;
  thread.post([&] {
    work();
    const std::lock_guard lock(mutex);
    done = true;
    ready.notify_one();
  });
  std::unique_lock lock(mutex);
  ready.wait(lock, [&] { return done; });
}

void NetServer::drain(int64_t grace_ms) {
  if (!started_ || stopped_) return;
  run_on(*threads_[0], [this] {
    for (const auto& listener : listeners_) listener->close();
  });
  for (const auto& thread : threads_) {
    run_on(*thread, [&thread] {
      thread->for_each_member([](TurnMember& member) { static_cast<Connection&>(member).drain(); });
    });
  }
  core_->wait_for_no_connections(grace_ms);
  stop();
}

void NetServer::stop() {
  if (std::exchange(stopped_, true)) return;
  if (started_) {
    run_on(*threads_[0], [this] {
      for (const auto& listener : listeners_) listener->close();
    });
  }
  for (const auto& thread : threads_) thread->stop();
  listeners_.clear();
}

std::vector<uint16_t> NetServer::bound_ports() const {
  std::vector<uint16_t> ports;
  for (const auto& listener : listeners_) ports.push_back(listener->port());
  return ports;
}

}  // namespace

Result<std::unique_ptr<Server>> Server::listen(const ServerOptions& options, const CallTable& table,
                                               std::vector<Route> routes) {
  auto server = std::make_unique<NetServer>(std::make_shared<ServerCore>(options, table, std::move(routes)));
  KV_RETURN_IF_ERROR(server->bind());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace kv::api
