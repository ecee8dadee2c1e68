// A certificate that nobody else signed, for --auto-tls and --peer-auto-tls: what it protects from is listening, not
// being somebody else.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace kv::tls {

struct CertificateFiles {
  std::string cert_file;
  std::string key_file;
};

// cert.pem and key.pem in `directory`, which is made with its parents, mode 0700 each. What lies there is taken if it
// is still good; else an ECDSA P-256 key and a certificate for `hosts` (names and addresses) and `years` from now are
// made, for servers and clients. Internal when it can't be written.
Result<CertificateFiles> self_signed_files(const std::string& directory, const std::vector<std::string>& hosts,
                                           int years);

}  // namespace kv::tls
