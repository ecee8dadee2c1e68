#include "tls/files.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace kv::tls {
namespace {

Status bad(const std::string& path, const std::string& why) {
  return {Code::kInvalidArgument, "TLS file \"" + path + "\": " + why};
}

BioPtr memory_of(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// PEM's readers end with "no start line" when there is no further object.
bool is_end_of_pem() {
  const unsigned long last = ERR_peek_last_error();
  const bool end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  if (end) ERR_clear_error();
  return end;
}

int no_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

FileStamp stamp_of(const std::string& path) {
  struct stat info {};
  if (path.empty() || ::stat(path.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec};
}

Result<std::string> read_small_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return bad(path, std::strerror(errno));
  std::string text;
  char piece[16384];
  ssize_t n = 0;
  while ((n = ::read(fd, piece, sizeof piece)) != 0) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    text.append(piece, static_cast<size_t>(n));
    if (text.size() > kMaxFileBytes) break;
  }
  const int error = errno;
  ::close(fd);
  if (n < 0) return bad(path, std::strerror(error));
  if (text.size() > kMaxFileBytes) return bad(path, "is longer than 8 MiB");
  return text;
}

Result<std::vector<X509Ptr>> read_certificates(const std::string& path) {
  const auto text = read_small_file(path);
  if (!text.ok()) return text.status();
  const BioPtr bio = memory_of(*text);
  ERR_clear_error();
  std::vector<X509Ptr> all;
  while (X509* const one = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)) all.emplace_back(one);
  if (!is_end_of_pem()) return bad(path, openssl_error());
  if (all.empty()) return bad(path, "holds no certificate in PEM");
  return all;
}

Result<std::vector<CrlPtr>> read_revocation_lists(const std::string& path) {
  const auto text = read_small_file(path);
  if (!text.ok()) return text.status();
  const BioPtr bio = memory_of(*text);
  ERR_clear_error();
  std::vector<CrlPtr> all;
  while (X509_CRL* const one = PEM_read_bio_X509_CRL(bio.get(), nullptr, no_passphrase, nullptr)) all.emplace_back(one);
  if (!is_end_of_pem()) return bad(path, openssl_error());
  if (!all.empty()) return all;
  const auto* at = reinterpret_cast<const unsigned char*>(text->data());
  const auto* const end = at + text->size();
  CrlPtr der(d2i_X509_CRL(nullptr, &at, static_cast<long>(text->size())));
  ERR_clear_error();
  if (!der || at != end) return bad(path, "holds no revocation list, neither in PEM nor in DER");
  all.push_back(std::move(der));
  return all;
}

Result<KeyPtr> read_key(const std::string& path) {
  auto text = read_small_file(path);
  if (!text.ok()) return text.status();
  ERR_clear_error();
  KeyPtr key(PEM_read_bio_PrivateKey(memory_of(*text).get(), nullptr, no_passphrase, nullptr));
  OPENSSL_cleanse(text->data(), text->size());
  if (key) return key;
  ERR_clear_error();
  return bad(path, "holds no private key in PEM, or one that a passphrase protects");
}

std::string openssl_error() {
  const unsigned long code = ERR_peek_error();
  if (code == 0) return "unknown error";
  const char* const reason = ERR_reason_error_string(code);
  char text[256];
  if (reason == nullptr) ERR_error_string_n(code, text, sizeof text);
  std::string out = reason != nullptr ? reason : text;
  ERR_clear_error();
  return out;
}

std::string subject_of(const X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

}  // namespace kv::tls
