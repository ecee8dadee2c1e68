// What is asked of the other side's certificate beyond its chain and time, which OpenSSL checks: that it is not
// revoked, and has an allowed name. Internal.
#pragma once

#include <string>
#include <vector>

#include "tls/handle.h"

namespace kv::tls {

struct Rules {
  std::vector<CrlPtr> revoked;
  std::vector<std::string> allowed_cns;
  std::vector<std::string> allowed_hostnames;
};

// The common name of a certificate; empty when it has none, or one with a zero byte in it.
std::string common_name(const X509* certificate);
// Whether the certificate is good for that name or address, by its subject alternative names. As in Go, a CN is no
// host name.
bool is_for_host(X509* certificate, const std::string& host);
// Whether it names any host: by a DNS name or an address.
bool names_hosts(const X509* certificate);

// The verify callback of an SSL whose context has the rules at rules_index().
int verify_certificate(int ok, X509_STORE_CTX* chain);
int rules_index();

}  // namespace kv::tls
