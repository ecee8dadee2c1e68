// What one port's TLS is told, under the names of etcd's flags (client/pkg/transport's TLSInfo is etcd's counterpart).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kv::tls {

enum class Version : uint8_t { kTls12, kTls13 };

struct Options {
  // Who we are: PEM, the certificate first and what leads to its root behind it.
  std::string cert_file;
  std::string key_file;
  // What we show when we dial; empty: the same.
  std::string client_cert_file;
  std::string client_key_file;

  // Whose certificates are believed, of those who dial and of those who are dialled. Empty: the system's roots for
  // those who are dialled, and nobody who dials is asked.
  std::string trusted_ca_file;
  // Whoever dials must show a certificate. As in etcd, a trusted_ca_file asks for the same without this flag; only with
  // it does a certificate's CN name a user (Stream::user()).
  bool client_cert_auth = false;
  // Certificates that are no longer good although their time is not over: PEM or DER, one list or several.
  std::string crl_file;
  // Those who dial must have one of these CNs, or be one of these hosts. At most one of the two is given.
  std::vector<std::string> allowed_cns;
  std::vector<std::string> allowed_hostnames;

  // Believes any certificate of whom we dial: for peers whose certificates nobody signed (--peer-auto-tls).
  bool trust_anyone_dialled = false;

  Version min_version = Version::kTls12;
  Version max_version = Version::kTls13;
  // Go's names, or OpenSSL's, in the order of preference; for TLS 1.2 only, as in Go. Empty: OpenSSL's choice.
  std::vector<std::string> cipher_suites;

  // What a listener speaks inside, in the order of preference ("h2", "http/1.1"). Empty: not negotiated.
  std::vector<std::string> protocols;
};

}  // namespace kv::tls
