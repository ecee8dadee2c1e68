// The flags that turn TLS on, for clients and for peers, and what becomes of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "tls/context.h"

namespace kvd {

// As they are typed; one for each port.
struct TlsFlags {
  std::string cert_file;
  std::string key_file;
  std::string client_cert_file;
  std::string client_key_file;
  std::string trusted_ca_file;
  bool client_cert_auth = false;
  std::string crl_file;
  std::string allowed_cn;
  std::string allowed_hostname;
  bool automatic = false;
};

// Those that both ports share.
struct SharedTlsFlags {
  std::string cipher_suites;
  std::string min_version = "TLS1.2";
  std::string max_version;
  int self_signed_years = 1;
};

// What one port's TLS is made of once the data directory is known.
struct TlsSetup {
  bool on = false;
  bool automatic = false;          // with a certificate of its own making
  std::vector<std::string> hosts;  // that one is good for
  int years = 1;
  kv::tls::Options options;
};

// `prefix` of the flags in errors: "" or "peer-". The URLs are those that are listened on and advertised.
kv::Result<TlsSetup> tls_setup(const std::string& prefix, const TlsFlags& flags, const SharedTlsFlags& shared,
                               const std::vector<std::string>& listen_urls, const std::vector<std::string>& own_urls);

// Null when TLS is off. `name`: "client" or "peer", whose own certificate is kept in DATA_DIR/fixtures/NAME.
kv::Result<std::shared_ptr<kv::tls::Context>> make_tls(const TlsSetup& setup, const std::string& name,
                                                       const std::string& data_dir);

}  // namespace kvd
