// What TLS reads from files: when they changed, and what is in them. Internal.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tls/handle.h"

namespace kv::tls {

// Which file was found under a name. Two are the same when nothing tells them apart.
struct FileStamp {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = -1;  // -1: there is no file
  int64_t modified_ns = 0;

  bool operator==(const FileStamp&) const = default;
};
// Follows links, as those that Kubernetes swaps when a secret changes.
FileStamp stamp_of(const std::string& path);

// At most kMaxFileBytes; InvalidArgument names the file and says why it can't be read.
inline constexpr size_t kMaxFileBytes = 8 << 20;
Result<std::string> read_small_file(const std::string& path);

// The certificates of a PEM file, in their order; at least one.
Result<std::vector<X509Ptr>> read_certificates(const std::string& path);
// The revocation lists of a file, in PEM or DER; at least one.
Result<std::vector<CrlPtr>> read_revocation_lists(const std::string& path);
// A key that no passphrase protects.
Result<KeyPtr> read_key(const std::string& path);

// What OpenSSL's error queue of this thread says, which is empty afterwards.
std::string openssl_error();
// "CN=etcd,O=example" of a certificate.
std::string subject_of(const X509* certificate);

}  // namespace kv::tls
