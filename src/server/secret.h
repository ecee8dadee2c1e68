// Bytes that nobody may find in memory once they have been used (CVE-2021-28235).
#pragma once

#include <openssl/crypto.h>

#include <string>
#include <utility>

namespace kv::server {

inline void wipe(std::string* bytes) {
  OPENSSL_cleanse(bytes->data(), bytes->size());
  bytes->clear();
}

class Secret {
 public:
  Secret() = default;
  // Takes the bytes and leaves none behind.
  explicit Secret(std::string* bytes) : bytes_(*bytes) { wipe(bytes); }
  Secret(Secret&& other) noexcept : Secret(&other.bytes_) {}
  Secret& operator=(Secret&&) = delete;
  ~Secret() { wipe(&bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace kv::server
