#include "tls/stream.h"

#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "tls/files.h"
#include "tls/stream_factory.h"
#include "tls/verify.h"

namespace kv::tls {
namespace {

// Handshake messages after the handshake: KeyUpdate, attempts to renegotiate. Each costs us key derivations and the
// other side a few bytes; an honest one sends one in a hundred gigabytes.
constexpr int kMaxLateMessages = 64;  // in a second

constexpr int kMaxBytes = 1 << 30;  // of one SSL_read or SSL_write, whose sizes are ints

// What the BIO works on, and what it remembers of it.
struct Wire {
  int fd;
  std::array<char, 8> first{};  // bytes that came, to tell what a stranger speaks
  size_t first_size = 0;
  int error = 0;  // errno of the last failure
  bool ready = false;
  bool cut = false;  // too many late messages: nothing more is read
  int late_messages = 0;
  int64_t second_began_ms = 0;
};

// OpenSSL's own socket BIO writes without MSG_NOSIGNAL, and would end a process that does not ignore SIGPIPE.
int bio_write(BIO* bio, const char* data, int size) {
  auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  ssize_t n = 0;
  do n = ::send(wire.fd, data, static_cast<size_t>(size), MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n >= 0) return static_cast<int>(n);
  if (errno == EAGAIN || errno == EWOULDBLOCK) BIO_set_retry_write(bio);
  wire.error = errno;
  return -1;
}

int bio_read(BIO* bio, char* into, int room) {
  auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (wire.cut) {
    wire.error = EPROTO;
    return -1;
  }
  ssize_t n = 0;
  do n = ::recv(wire.fd, into, static_cast<size_t>(room), 0);
  while (n < 0 && errno == EINTR);
  if (n > 0) {
    const size_t more = std::min(static_cast<size_t>(n), wire.first.size() - wire.first_size);
    std::memcpy(wire.first.data() + wire.first_size, into, more);
    wire.first_size += more;
    return static_cast<int>(n);
  }
  if (n == 0) {
    BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    wire.error = 0;
    return 0;
  }
  if (errno == EAGAIN || errno == EWOULDBLOCK) BIO_set_retry_read(bio);
  wire.error = errno;
  return -1;
}

long bio_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return 0;
}

// OpenSSL reads on until it has bytes for us, and so would serve such a flood in one call.
void count_late_messages(int writing, int, int what, const void* bytes, size_t size, SSL* ssl, void* arg) {
  auto& wire = *static_cast<Wire*>(arg);
  if (writing != 0 || size == 0) return;
  if (what != SSL3_RT_HEADER && what != SSL3_RT_INNER_CONTENT_TYPE) return;
  if (*static_cast<const unsigned char*>(bytes) != SSL3_RT_HANDSHAKE) return;
  if (!wire.ready && SSL_is_init_finished(ssl) == 0) return;
  const int64_t now_ms = Clock::system().monotonic_ms();
  if (now_ms - wire.second_began_ms >= 1000) {
    wire.second_began_ms = now_ms;
    wire.late_messages = 0;
  }
  wire.cut = wire.cut || ++wire.late_messages > kMaxLateMessages;
}

BIO_METHOD* wire_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "kvd socket");
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

class SslStream final : public Stream {
 public:
  SslStream(SSL_CTX* context, std::shared_ptr<const void> kept, int fd, const StreamRole& role)
      : kept_(std::move(kept)), wire_{.fd = fd}, ssl_(SSL_new(context)), names_user_(role.names_user) {
    BIO* const bio = ssl_ ? BIO_new(wire_method()) : nullptr;
    if (bio == nullptr) {
      ssl_.reset();
      fail("no memory");
      return;
    }
    BIO_set_data(bio, &wire_);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
    SSL_set_msg_callback(ssl_.get(), count_late_messages);
    SSL_set_msg_callback_arg(ssl_.get(), &wire_);
    if (role.dialled) {
      expect(role.host);
    } else {
      SSL_set_accept_state(ssl_.get());
    }
  }

  Outcome handshake() override {
    if (failed_) return {Outcome::State::kFailed};
    if (ready()) return {};
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    return result == 1 ? Outcome{} : why_not(result);
  }

  bool ready() const override {
    // OpenSSL forgets that it was once the stream has failed.
    if (!wire_.ready) wire_.ready = ssl_ && SSL_is_init_finished(ssl_.get()) == 1;
    return wire_.ready;
  }

  Outcome read(char* into, size_t room) override {
    if (failed_) return {ended_ ? Outcome::State::kClosed : Outcome::State::kFailed};
    (void)ready();
    more_ = false;
    size_t have = 0;
    while (have < room) {
      ERR_clear_error();
      const int n = SSL_read(ssl_.get(), into + have, static_cast<int>(std::min<size_t>(room - have, kMaxBytes)));
      if (n > 0) {
        have += static_cast<size_t>(n);
        continue;
      }
      const Outcome outcome = why_not(n);
      if (have == 0) return outcome;
      // Whatever the end is, the next read says it; and the socket may have nothing more to say.
      more_ = outcome.state != Outcome::State::kWantRead;
      return {Outcome::State::kOk, have};
    }
    more_ = SSL_has_pending(ssl_.get()) == 1;
    return {Outcome::State::kOk, have};
  }

  Outcome write(const char* data, size_t size) override {
    if (failed_) return {Outcome::State::kFailed};
    size_t done = 0;
    while (done < size) {
      ERR_clear_error();
      const int n = SSL_write(ssl_.get(), data + done, static_cast<int>(std::min<size_t>(size - done, kMaxBytes)));
      if (n <= 0) {
        const Outcome outcome = why_not(n);
        if (done == 0) return outcome;
        break;
      }
      done += static_cast<size_t>(n);
    }
    return {Outcome::State::kOk, done};
  }

  // SSL_has_pending() alone also counts half a record, which waits for the socket.
  bool has_pending() const override { return more_; }

  void end_write() override {
    if (failed_ || !ready()) return;
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }

  std::string_view protocol() const override {
    if (!ssl_) return {};
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }

  const std::optional<std::string>& user() const override {
    if (!user_known_ && names_user_ && ready()) {
      X509* const shown = verified_certificate();
      if (shown != nullptr) user_ = common_name(shown);
      user_known_ = true;
    }
    return user_;
  }

  bool is_good_for(const std::vector<std::string>& hosts) const override {
    X509* const shown = verified_certificate();
    if (shown == nullptr || !names_hosts(shown)) return true;
    return std::any_of(hosts.begin(), hosts.end(),
                       [shown](const std::string& host) { return is_for_host(shown, host); });
  }

  std::string failure() const override { return failure_; }

  bool was_plain_http() const override {
    const std::string_view said(wire_.first.data(), wire_.first_size);
    for (const std::string_view method : {"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH "}) {
      if (said.starts_with(method.substr(0, wire_.first.size()))) return true;
    }
    return false;
  }

 private:
  // Whom we dial, and whose certificate it has to show.
  void expect(const std::string& host) {
    SSL_set_connect_state(ssl_.get());
    X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl_.get());
    if (X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) == 1) return;
    ERR_clear_error();
    SSL_set_hostflags(ssl_.get(), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    // Without a name to compare, any would do: then none does.
    if (host.empty() || SSL_set1_host(ssl_.get(), host.c_str()) != 1 ||
        SSL_set_tlsext_host_name(ssl_.get(), host.c_str()) != 1) {
      fail("\"" + host + "\" is no host name");
    }
  }

  X509* verified_certificate() const {
    if (!ready() || (SSL_get_verify_mode(ssl_.get()) & SSL_VERIFY_PEER) == 0) return nullptr;
    return SSL_get_verify_result(ssl_.get()) == X509_V_OK ? SSL_get0_peer_certificate(ssl_.get()) : nullptr;
  }

  Outcome fail(std::string why) {
    failed_ = true;
    failure_ = std::move(why);
    ERR_clear_error();
    return {Outcome::State::kFailed};
  }

  Outcome why_not(int result) {
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ: return {Outcome::State::kWantRead};
      case SSL_ERROR_WANT_WRITE: return {Outcome::State::kWantWrite};
      case SSL_ERROR_ZERO_RETURN: return {Outcome::State::kClosed};
      case SSL_ERROR_SYSCALL:
        if (wire_.cut) return fail("too many handshake messages after the handshake");
        return fail(wire_.error != 0 ? std::strerror(wire_.error) : "closed during the handshake");
      default: break;
    }
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
      // Many clients end without a word. What they say inside (HTTP's lengths, frames) tells whether it was whole.
      ended_ = ready();
      fail("closed during the handshake");
      return {ended_ ? Outcome::State::kClosed : Outcome::State::kFailed};
    }
    const long verified = SSL_get_verify_result(ssl_.get());
    const bool refused_it = verified != X509_V_OK && (SSL_get_verify_mode(ssl_.get()) & SSL_VERIFY_PEER) != 0;
    std::string why = openssl_error();
    if (refused_it && !ready()) {
      why += std::string(": ") + (verified == X509_V_ERR_APPLICATION_VERIFICATION
                                      ? "the certificate has none of the allowed names"
                                      : X509_verify_cert_error_string(verified));
    }
    return fail(std::move(why));
  }

  const std::shared_ptr<const void> kept_;
  mutable Wire wire_;
  SslPtr ssl_;
  const bool names_user_;
  bool more_ = false;
  bool failed_ = false;  // nothing more goes in or out
  bool ended_ = false;   // ... because the other side has gone without a word
  std::string failure_;
  mutable bool user_known_ = false;
  mutable std::optional<std::string> user_;
};

}  // namespace

std::unique_ptr<Stream> make_stream(SSL_CTX* context, std::shared_ptr<const void> kept, int fd,
                                    const StreamRole& role) {
  return std::make_unique<SslStream>(context, std::move(kept), fd, role);
}

}  // namespace kv::tls
