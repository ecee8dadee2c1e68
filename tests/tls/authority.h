// Certificates for tests, made by OpenSSL and written into a directory of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace kv::test {

struct IssuedFiles {
  std::string cert_file;
  std::string key_file;
  uint64_t serial = 0;
};

struct CertificateSpec {
  std::string cn{};
  std::vector<std::string> hosts = {"localhost", "127.0.0.1"};
  int64_t begins_in_s = -3600;
  int64_t ends_in_s = 86400;
};

// A CA with its key. Files are PEM; one that is written again is replaced by rename, as rotation should.
class Authority {
 public:
  Authority(std::string directory, std::string name);
  ~Authority();

  const std::string& ca_file() const { return ca_file_; }
  // Writes NAME.pem and NAME-key.pem.
  IssuedFiles issue(const std::string& name, const CertificateSpec& spec = {});
  // Writes a list of these serial numbers; in DER when asked.
  std::string revoke(const std::string& name, const std::vector<uint64_t>& serials, bool der = false);

 private:
  struct Keys;
  const std::string directory_;
  const std::string name_;
  const std::string ca_file_;
  const std::unique_ptr<Keys> keys_;
  uint64_t next_serial_;
};

// A directory that goes with this object.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void write_text(const std::string& path, const std::string& text);  // by rename
std::string read_text(const std::string& path);

}  // namespace kv::test
