#include "raft/transport_query.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <optional>

#include "raft/transport_lookup.h"
#include "raft/transport_socket.h"
#include "raft/transport_wire.h"

namespace kv::raft {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr size_t kMaxResponseBytes = 1 << 20;
constexpr size_t kReadBytes = 16 << 10;

// One question, step by step, on an io_context that runs for it alone.
class Query {
 public:
  Query(const HostPort& place, std::string request, tls::Context* tls, int64_t timeout_ms)
      : place_(place), request_(std::move(request)), tls_(tls), socket_(io_), timer_(io_) {
    timer_.expires_after(std::chrono::milliseconds(timeout_ms));
    timer_.async_wait([this](const error_code& error) {
      if (!error) end(Status(Code::kUnavailable, "no answer in time"));
    });
  }

  Result<std::string> run(const NameLookup::Endpoints& endpoints) {
    asio::async_connect(socket_.tcp(), endpoints, [this](const error_code& error, const auto&) {
      if (over_) return;
      if (error) return end(Status(Code::kUnavailable, error.message()));
      if (tls_ != nullptr) socket_.dial_tls(*tls_, place_.host);
      ask();
    });
    io_.run();
    return std::move(*over_);
  }

 private:
  void ask() {
    socket_.write_all(asio::buffer(request_), [this](const error_code& error, size_t) {
      if (over_) return;
      if (error) return end(Status(Code::kUnavailable, socket_.why(error)));
      read();
    });
  }
  void read() {
    const size_t have = response_.size();
    response_.resize(have + kReadBytes);
    socket_.read_some(asio::buffer(response_.data() + have, kReadBytes),
                      [this, have](const error_code& error, size_t n) {
                        if (over_) return;
                        response_.resize(have + n);
                        // It closes when it has said all.
                        if (error == asio::error::eof || (error && !response_.empty()))
                          return end(std::move(response_));
                        if (error) return end(Status(Code::kUnavailable, socket_.why(error)));
                        if (response_.size() >= kMaxResponseBytes) return end(std::move(response_));
                        read();
                      });
  }
  void end(Result<std::string> result) {
    if (over_) return;
    over_.emplace(std::move(result));
    timer_.cancel();
    socket_.close();
  }

  const HostPort place_;
  const std::string request_;
  tls::Context* const tls_;
  asio::io_context io_{1};
  PeerSocket socket_;
  asio::steady_timer timer_;
  std::string response_;
  std::optional<Result<std::string>> over_;
};

}  // namespace

Result<std::string> ask_peer(const std::string& url, std::string_view path, const std::shared_ptr<tls::Context>& tls,
                             int64_t timeout_ms) {
  const auto place = parse_peer_url(url);
  if (!place.ok()) return place.status();
  if (place->secure && !tls) return Status(Code::kUnavailable, "https needs certificates for peers");
  const NameLookup::Endpoints endpoints = NameLookup::resolve(*place);
  if (endpoints.empty()) return Status(Code::kUnavailable, "unknown host " + place->host);
  const bool v6 = place->host.find(':') != std::string::npos;
  const std::string host = (v6 ? "[" + place->host + "]" : place->host) + ":" + std::to_string(place->port);
  std::string request = "GET ";
  request.append(path).append(" HTTP/1.1\r\nHost: ").append(host).append("\r\nConnection: close\r\n\r\n");
  return Query(*place, std::move(request), place->secure ? tls.get() : nullptr, timeout_ms).run(endpoints);
}

}  // namespace kv::raft
