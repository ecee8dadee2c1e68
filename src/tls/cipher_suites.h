// Names of TLS 1.2's cipher suites. etcd's flags take Go's names, which are those of IANA; OpenSSL has its own.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace kv::tls {

// OpenSSL's list, "A:B", of suites by either name. InvalidArgument names the first that is unknown: to us, or too weak
// to be offered (RC4, 3DES, anonymous ones).
Result<std::string> openssl_cipher_list(const std::vector<std::string>& names);

}  // namespace kv::tls
