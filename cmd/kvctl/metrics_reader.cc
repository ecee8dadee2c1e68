#include "kvctl/metrics_reader.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "client/address.h"

namespace kv::kvctl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxAnswerBytes = 16 << 20;

Status unavailable(std::string text) { return Status(Code::kUnavailable, std::move(text)); }

// A connected socket, and for https the TLS on it. All waits end at the deadline.
class Connection {
 public:
  explicit Connection(Clock::time_point deadline) : deadline_(deadline) {}
  ~Connection() {
    ssl_.reset();
    if (fd_ >= 0) close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Status connect(const std::string& host, const std::string& port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
      return unavailable(gai_strerror(error));
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
    int error = 0;
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
      if (fd_ >= 0) close(fd_);
      fd_ = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      if (fd_ < 0) {
        error = errno;
        continue;
      }
      if (::connect(fd_, at->ai_addr, at->ai_addrlen) == 0) return {};
      error = errno;
      if (error != EINPROGRESS) continue;
      if (!wait(POLLOUT)) return unavailable("timed out");
      socklen_t bytes = sizeof error;
      if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 && error == 0) return {};
    }
    return unavailable(std::strerror(error));
  }

  Status secure(const std::string& host, const client::TlsOptions& tls) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (context_ == nullptr) return tls_error();
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
    if (!tls.insecure_skip_verify) {
      SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
      const int loaded = tls.ca_file.empty() ? SSL_CTX_set_default_verify_paths(context_.get())
                                             : SSL_CTX_load_verify_file(context_.get(), tls.ca_file.c_str());
      if (loaded != 1) return tls_error();
    }
    if (!tls.cert_file.empty() &&
        (SSL_CTX_use_certificate_chain_file(context_.get(), tls.cert_file.c_str()) != 1 ||
         SSL_CTX_use_PrivateKey_file(context_.get(), tls.key_file.c_str(), SSL_FILETYPE_PEM) != 1)) {
      return tls_error();
    }
    ssl_.reset(SSL_new(context_.get()));
    if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), fd_) != 1) return tls_error();
    in6_addr address{};
    if (inet_pton(AF_INET, host.c_str(), &address) == 1 || inet_pton(AF_INET6, host.c_str(), &address) == 1) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host.c_str());
    } else {
      SSL_set1_host(ssl_.get(), host.c_str());
      SSL_set_tlsext_host_name(ssl_.get(), host.c_str());
    }
    // A server that also speaks HTTP/2 is told that this is HTTP/1.
    constexpr unsigned char kHttp1[] = "\x08http/1.1";
    SSL_set_alpn_protos(ssl_.get(), kHttp1, sizeof kHttp1 - 1);
    for (;;) {
      ERR_clear_error();
      const int done = SSL_connect(ssl_.get());
      if (done == 1) return {};
      if (!wait_for_tls(done)) return last_;
    }
  }

  Status write(std::string_view bytes) {
    while (!bytes.empty()) {
      ERR_clear_error();
      const ssize_t n = ssl_ != nullptr ? SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()))
                                        : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0) {
        bytes.remove_prefix(static_cast<size_t>(n));
      } else if (!wait_more(n, POLLOUT)) {
        return last_;
      }
    }
    return {};
  }

  // Until the server closes.
  Result<std::string> read_all() {
    std::string all;
    char buffer[16 << 10];
    for (;;) {
      ERR_clear_error();
      const ssize_t n =
          ssl_ != nullptr ? SSL_read(ssl_.get(), buffer, sizeof buffer) : recv(fd_, buffer, sizeof buffer, 0);
      if (n > 0) {
        all.append(buffer, static_cast<size_t>(n));
        if (all.size() > kMaxAnswerBytes) return unavailable("more than 16 MiB came");
        continue;
      }
      if (ssl_ == nullptr ? n == 0 : SSL_get_error(ssl_.get(), static_cast<int>(n)) == SSL_ERROR_ZERO_RETURN)
        return all;
      if (!wait_more(n, POLLIN)) return last_;
    }
  }

 private:
  bool wait(short events) {
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
      if (left <= 0) return false;
      pollfd watched{.fd = fd_, .events = events, .revents = 0};
      const int ready = poll(&watched, 1, static_cast<int>(std::min<int64_t>(left, 60'000)));
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) return false;
    }
  }
  // After a call that could not go on: true once it may. Else last_ says why not.
  bool wait_more(ssize_t result, short events) {
    if (ssl_ != nullptr) return wait_for_tls(static_cast<int>(result));
    if (errno == EINTR) return true;
    if (errno != EAGAIN) {
      last_ = unavailable(std::strerror(errno));
      return false;
    }
    if (wait(events)) return true;
    last_ = unavailable("timed out");
    return false;
  }
  bool wait_for_tls(int result) {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      last_ = tls_error();
      return false;
    }
    if (wait(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT)) return true;
    last_ = unavailable("timed out");
    return false;
  }
  Status tls_error() const {
    if (ssl_ != nullptr) {
      if (const long verdict = SSL_get_verify_result(ssl_.get()); verdict != X509_V_OK) {
        return unavailable(std::string("TLS: ") + X509_verify_cert_error_string(verdict));
      }
    }
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    return unavailable(std::string("TLS: ") + (reason != nullptr ? reason : "the connection was closed"));
  }

  const Clock::time_point deadline_;
  int fd_ = -1;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
  Status last_{};
};

}  // namespace

Metrics parse_metrics(std::string_view text) {
  Metrics metrics;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t space = line.find(' ');
    if (line.starts_with('#') || space == line.npos || line.substr(0, space).find('{') != line.npos) continue;
    const std::string number(line.substr(space + 1));
    char* end = nullptr;
    const double value = std::strtod(number.c_str(), &end);
    if (end != number.c_str()) metrics[std::string(line.substr(0, space))] = value;
  }
  return metrics;
}

Result<Metrics> read_metrics(const std::string& endpoint, const client::TlsOptions& tls,
                             std::chrono::milliseconds limit) {
  const auto address = client::parse_address(endpoint);
  if (!address.ok()) return address.status();
  const size_t colon = address->target.rfind(':');
  if (colon == std::string::npos || address->target.starts_with("unix:")) {
    return Status(Code::kUnimplemented, "metrics are not read from a unix socket");
  }
  std::string host = address->target.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const bool secure = address->security == client::Security::kTls ||
                      (address->security == client::Security::kAsOptioned &&
                       (tls.always || tls.insecure_skip_verify || !tls.ca_file.empty() || !tls.cert_file.empty()));
  Connection connection(Clock::now() + limit);
  if (Status status = connection.connect(host, address->target.substr(colon + 1)); !status.ok()) return status;
  if (secure) {
    if (Status status = connection.secure(host, tls); !status.ok()) return status;
  }
  // HTTP/1.0: no chunks, and the end of the connection is the end of the answer.
  const std::string request = "GET /metrics HTTP/1.0\r\nHost: " + address->target + "\r\nConnection: close\r\n\r\n";
  if (Status status = connection.write(request); !status.ok()) return status;
  const auto answer = connection.read_all();
  if (!answer.ok()) return answer.status();
  const std::string_view text = *answer;
  const size_t body = text.find("\r\n\r\n");
  if (!text.starts_with("HTTP/1.") || body == text.npos) return unavailable("the answer is no HTTP");
  const size_t status = text.find(' ');
  if (!text.substr(status).starts_with(" 200")) {
    return unavailable("GET /metrics answers " + std::string(text.substr(status + 1, text.find('\r') - status - 1)));
  }
  return parse_metrics(text.substr(body + 4));
}

}  // namespace kv::kvctl
