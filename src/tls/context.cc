#include "tls/context.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "tls/cipher_suites.h"
#include "tls/files.h"
#include "tls/handle.h"
#include "tls/stream_factory.h"
#include "tls/verify.h"

namespace kv::tls {
namespace {

constexpr long kMaxChainBytes = 64 << 10;
constexpr size_t kReadAheadBytes = 64 << 10;  // several records by one system call

Status invalid(std::string text) { return {Code::kInvalidArgument, std::move(text)}; }

int version_number(Version version) { return version == Version::kTls13 ? TLS1_3_VERSION : TLS1_2_VERSION; }

// All that a handshake uses; never changed, but replaced as a whole. Streams keep the one that they began with.
struct Material {
  SslContextPtr accepting;
  SslContextPtr dialling;
  Rules rules;
};

// Chooses among the protocols that we speak, in our order. `wire` is our list as ALPN writes it.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                    unsigned offered_size, void* wire) {
  const auto& ours = *static_cast<const std::string*>(wire);
  unsigned char* chosen = nullptr;
  const int result = SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                                           static_cast<unsigned>(ours.size()), offered, offered_size);
  *out = chosen;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

class FileContext final : public Context {
 public:
  FileContext(Options options, std::string name) : options_(std::move(options)), name_(std::move(name)) {
    for (const std::string& protocol : options_.protocols) {
      alpn_ += static_cast<char>(protocol.size());
      alpn_ += protocol;
    }
  }

  Status open() {
    KV_RETURN_IF_ERROR(check());
    const Stamps stamps = look();
    auto read = load();
    if (!read.ok()) return read.status();
    const std::lock_guard lock(mutex_);
    material_ = std::move(*read);
    used_ = tried_ = stamps;
    looked_ms_ = Clock::system().monotonic_ms();
    return {};
  }

  std::unique_ptr<Stream> accept(int fd) override {
    const auto material = current();
    return make_stream(material->accepting.get(), material, fd, {.names_user = options_.client_cert_auth});
  }

  std::unique_ptr<Stream> dial(int fd, const std::string& host) override {
    const auto material = current();
    return make_stream(material->dialling.get(), material, fd, {.dialled = true, .host = host});
  }

  bool asks_for_certificate() const override { return !options_.trusted_ca_file.empty() || options_.client_cert_auth; }
  const Options& options() const override { return options_; }

 private:
  using Stamps = std::array<FileStamp, 6>;

  Stamps look() const {
    const Options& o = options_;
    return {stamp_of(o.cert_file),       stamp_of(o.key_file),        stamp_of(o.client_cert_file),
            stamp_of(o.client_key_file), stamp_of(o.trusted_ca_file), stamp_of(o.crl_file)};
  }

  Status check() const {
    const Options& o = options_;
    if (o.cert_file.empty() || o.key_file.empty()) {
      return invalid("TLS needs both a certificate and its key: certificate \"" + o.cert_file + "\", key \"" +
                     o.key_file + "\"");
    }
    if (o.client_cert_file.empty() != o.client_key_file.empty()) {
      return invalid("a certificate to dial with and its key go together: certificate \"" + o.client_cert_file +
                     "\", key \"" + o.client_key_file + "\"");
    }
    if (o.client_cert_auth && o.trusted_ca_file.empty()) {
      return invalid("asking for certificates needs a file of trusted CAs: anybody has one that a public CA signed");
    }
    if (!o.crl_file.empty() && o.trusted_ca_file.empty()) {
      return invalid("a revocation list needs a file of trusted CAs: without it nobody is asked for a certificate");
    }
    if (!o.allowed_cns.empty() && !o.allowed_hostnames.empty()) {
      return invalid("allowed CNs and allowed host names are mutually exclusive");
    }
    if ((!o.allowed_cns.empty() || !o.allowed_hostnames.empty()) && o.trusted_ca_file.empty()) {
      return invalid("allowed names need a file of trusted CAs: without it nobody is asked for a certificate");
    }
    if (o.min_version > o.max_version) return invalid("the minimum TLS version is greater than the maximum");
    if (o.min_version == Version::kTls13 && !o.cipher_suites.empty()) {
      return invalid("cipher suites cannot be configured when only TLS1.3 is enabled");
    }
    return {};
  }

  // What new connections use.
  std::shared_ptr<const Material> current() {
    const std::lock_guard lock(mutex_);
    const int64_t now_ms = Clock::system().monotonic_ms();
    if (now_ms - looked_ms_ < kLookEveryMs) return material_;
    looked_ms_ = now_ms;
    const Stamps stamps = look();
    if (stamps == tried_) return material_;
    // Noted before the files are read: a change while they are is seen at the next look.
    tried_ = stamps;
    if (stamps == used_) return material_;
    auto read = load();
    if (read.ok()) {
      material_ = std::move(*read);
      used_ = stamps;
      log_info("TLS files have changed and are used from now on",
               {{"whose", name_}, {"certificate", options_.cert_file}});
    } else {
      log_error("TLS files have changed but are no good; what was read before is used",
                {{"whose", name_}, {"why", read.status().text()}});
    }
    return material_;
  }

  Result<std::shared_ptr<const Material>> load() const {
    auto made = std::make_shared<Material>();
    std::vector<X509Ptr> trusted;
    if (!options_.trusted_ca_file.empty()) {
      auto read = read_certificates(options_.trusted_ca_file);
      if (!read.ok()) return read.status();
      trusted = std::move(*read);
    }
    if (!options_.crl_file.empty()) {
      auto read = read_revocation_lists(options_.crl_file);
      if (!read.ok()) return read.status();
      made->rules.revoked = std::move(*read);
      KV_RETURN_IF_ERROR(check_lists(made->rules.revoked, trusted));
    }
    made->rules.allowed_cns = options_.allowed_cns;
    made->rules.allowed_hostnames = options_.allowed_hostnames;

    made->accepting.reset(SSL_CTX_new(TLS_server_method()));
    made->dialling.reset(SSL_CTX_new(TLS_client_method()));
    if (!made->accepting || !made->dialling) return Status(Code::kInternal, "OpenSSL: " + openssl_error());
    for (SSL_CTX* const context : {made->accepting.get(), made->dialling.get()}) {
      KV_RETURN_IF_ERROR(set_common(context, trusted));
      SSL_CTX_set_ex_data(context, rules_index(), &made->rules);
    }
    KV_RETURN_IF_ERROR(set_certificate(made->accepting.get(), options_.cert_file, options_.key_file));
    const bool own = !options_.client_cert_file.empty();
    KV_RETURN_IF_ERROR(set_certificate(made->dialling.get(), own ? options_.client_cert_file : options_.cert_file,
                                       own ? options_.client_key_file : options_.key_file));

    SSL_CTX* const accepting = made->accepting.get();
    if (asks_for_certificate()) {
      SSL_CTX_set_verify(accepting, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_certificate);
      for (const X509Ptr& ca : trusted) SSL_CTX_add_client_CA(accepting, ca.get());
    }
    if (!alpn_.empty()) {
      // The callback reads the string only.
      SSL_CTX_set_alpn_select_cb(accepting, choose_protocol, const_cast<std::string*>(&alpn_));
    }
    SSL_CTX* const dialling = made->dialling.get();
    SSL_CTX_set_verify(dialling, options_.trust_anyone_dialled ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, verify_certificate);
    if (trusted.empty() && SSL_CTX_set_default_verify_paths(dialling) != 1) {
      return Status(Code::kInternal, "the system's root certificates: " + openssl_error());
    }
    return std::shared_ptr<const Material>(std::move(made));
  }

  Status set_common(SSL_CTX* context, const std::vector<X509Ptr>& trusted) const {
    SSL_CTX_set_min_proto_version(context, version_number(options_.min_version));
    SSL_CTX_set_max_proto_version(context, version_number(options_.max_version));
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, kReadAheadBytes);
    SSL_CTX_set_max_cert_list(context, kMaxChainBytes);
    if (!options_.cipher_suites.empty()) {
      const auto list = openssl_cipher_list(options_.cipher_suites);
      if (!list.ok()) return list.status();
      if (SSL_CTX_set_cipher_list(context, list->c_str()) != 1) return invalid("cipher suites: " + openssl_error());
      SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
    }
    X509_STORE* const store = SSL_CTX_get_cert_store(context);
    for (const X509Ptr& ca : trusted) X509_STORE_add_cert(store, ca.get());
    // Whoever is in the file is trusted, also one that is no root: as in Go.
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
    return {};
  }

  Status set_certificate(SSL_CTX* context, const std::string& cert_file, const std::string& key_file) const {
    const auto chain = read_certificates(cert_file);
    if (!chain.ok()) return chain.status();
    const auto key = read_key(key_file);
    if (!key.ok()) return key.status();
    ERR_clear_error();
    if (SSL_CTX_use_certificate(context, chain->front().get()) != 1) {
      return invalid("TLS file \"" + cert_file + "\": " + openssl_error());
    }
    for (size_t i = 1; i < chain->size(); ++i) {
      if (SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) != 1) {
        return invalid("TLS file \"" + cert_file + "\": " + openssl_error());
      }
    }
    if (SSL_CTX_use_PrivateKey(context, key->get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
      ERR_clear_error();
      return invalid("TLS: the key of \"" + key_file + "\" does not belong to the certificate of \"" + cert_file +
                     "\"");
    }
    if (X509_cmp_current_time(X509_get0_notAfter(chain->front().get())) < 0) {
      log_warning("the TLS certificate has expired",
                  {{"whose", name_}, {"file", cert_file}, {"subject", subject_of(chain->front().get())}});
    }
    return {};
  }

  // A list that one of the trusted CAs should have signed is signed by it. Of other issuers' lists we can't know.
  Status check_lists(const std::vector<CrlPtr>& lists, const std::vector<X509Ptr>& trusted) const {
    for (const CrlPtr& list : lists) {
      bool named = false;
      bool signed_by_it = false;
      for (const X509Ptr& ca : trusted) {
        if (X509_NAME_cmp(X509_get_subject_name(ca.get()), X509_CRL_get_issuer(list.get())) != 0) continue;
        named = true;
        signed_by_it = signed_by_it || X509_CRL_verify(list.get(), X509_get0_pubkey(ca.get())) == 1;
      }
      ERR_clear_error();
      if (named && !signed_by_it) {
        return invalid("TLS file \"" + options_.crl_file + "\": a list is not signed by the CA that it names");
      }
      const ASN1_TIME* const next = X509_CRL_get0_nextUpdate(list.get());
      if (next != nullptr && X509_cmp_current_time(next) < 0) {
        log_warning("the revocation list is out of date; it is used nevertheless",
                    {{"whose", name_}, {"file", options_.crl_file}});
      }
    }
    return {};
  }

  const Options options_;
  const std::string name_;
  std::string alpn_;  // options_.protocols as ALPN writes them; constant once made

  std::mutex mutex_;  // guards all below
  std::shared_ptr<const Material> material_;
  Stamps used_;   // of the files that material_ was made from
  Stamps tried_;  // of the last that were looked at
  int64_t looked_ms_ = 0;
};

}  // namespace

Result<std::shared_ptr<Context>> Context::create(const Options& options, std::string name) {
  auto made = std::make_shared<FileContext>(options, std::move(name));
  KV_RETURN_IF_ERROR(made->open());
  return std::shared_ptr<Context>(std::move(made));
}

}  // namespace kv::tls
