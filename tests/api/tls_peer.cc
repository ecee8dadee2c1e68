#include "api/tls_peer.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <stdexcept>

#include "api/raw_peer.h"

namespace kv::test {

struct TlsPeer::State {
  SSL_CTX* context = nullptr;
  SSL* ssl = nullptr;
  int fd = -1;
  bool shaken = false;
};

TlsPeer::TlsPeer(uint16_t port, const TlsPeerOptions& options) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (options.receive_buffer > 0) {
    setsockopt(s.fd, SOL_SOCKET, SO_RCVBUF, &options.receive_buffer, sizeof options.receive_buffer);
  }
  const timeval patience{.tv_sec = kPatienceMs / 1000, .tv_usec = 0};
  setsockopt(s.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(s.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(s.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot connect to the server under test");
  }
  s.context = SSL_CTX_new(TLS_client_method());
  if (!options.cert_file.empty()) {
    SSL_CTX_use_certificate_chain_file(s.context, options.cert_file.c_str());
    SSL_CTX_use_PrivateKey_file(s.context, options.key_file.c_str(), SSL_FILETYPE_PEM);
  }
  s.ssl = SSL_new(s.context);
  SSL_set_fd(s.ssl, s.fd);
  std::string wire;
  for (const std::string& protocol : options.protocols) wire += static_cast<char>(protocol.size()) + protocol;
  if (!wire.empty()) {
    SSL_set_alpn_protos(s.ssl, reinterpret_cast<const unsigned char*>(wire.data()), static_cast<unsigned>(wire.size()));
  }
  s.shaken = SSL_connect(s.ssl) == 1;
}

TlsPeer::~TlsPeer() {
  SSL_free(state_->ssl);
  SSL_CTX_free(state_->context);
  ::close(state_->fd);
}

bool TlsPeer::shaken() const { return state_->shaken; }

std::string TlsPeer::protocol() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(state_->ssl, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

bool TlsPeer::send(std::string_view bytes) {
  return bytes.empty() || SSL_write(state_->ssl, bytes.data(), static_cast<int>(bytes.size())) > 0;
}

std::string TlsPeer::receive() {
  std::string bytes(64 << 10, '\0');
  const int n = SSL_read(state_->ssl, bytes.data(), static_cast<int>(bytes.size()));
  bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return bytes;
}

std::string TlsPeer::failure() const {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason != nullptr ? reason : "";
}

std::string TlsPeer::receive_until(std::string_view text) {
  std::string all;
  while (all.find(text) == std::string::npos) {
    const std::string more = receive();
    if (more.empty()) break;
    all += more;
  }
  return all;
}

std::string TlsPeer::ask(std::string_view request) {
  if (!send(request)) return {};
  std::string all;
  while (true) {
    const std::string more = receive();
    if (more.empty()) return all;
    all += more;
  }
}

}  // namespace kv::test
