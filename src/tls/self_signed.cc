#include "tls/self_signed.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "tls/files.h"
#include "tls/handle.h"

namespace kv::tls {
namespace {

Status failed(const std::string& what) { return {Code::kInternal, "automatic TLS: " + what}; }

// With its parents. Those that are new are nobody else's business (CVE-2020-15113); the last one never is.
Status make_directory(const std::string& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) return failed(part + ": " + std::strerror(errno));
    if (at == std::string::npos) break;
  }
  if (::chmod(path.c_str(), 0700) != 0) return failed(path + ": " + std::strerror(errno));
  return {};
}

Status write_file(const std::string& path, const std::string& text) {
  // Under another name first: a crash leaves no half a key behind.
  const std::string part = path + ".new";
  ::unlink(part.c_str());
  const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return failed(part + ": " + std::strerror(errno));
  const ssize_t n = ::write(fd, text.data(), text.size());
  const bool written = n == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!written) return failed(part + ": " + std::strerror(error));
  if (::rename(part.c_str(), path.c_str()) != 0) return failed(path + ": " + std::strerror(errno));
  return {};
}

bool is_still_good(const CertificateFiles& files) {
  const auto chain = read_certificates(files.cert_file);
  const auto key = read_key(files.key_file);
  if (!chain.ok() || !key.ok()) return false;
  X509* const certificate = chain->front().get();
  const bool fits = X509_check_private_key(certificate, key->get()) == 1;
  ERR_clear_error();
  return fits && X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

bool add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

// "DNS:localhost,IP:127.0.0.1"
std::string alternative_names(const std::vector<std::string>& hosts) {
  std::string names;
  for (const std::string& host : hosts) {
    ASN1_OCTET_STRING* const address = a2i_IPADDRESS(host.c_str());
    if (!names.empty()) names += ',';
    names += (address != nullptr ? "IP:" : "DNS:") + host;
    ASN1_OCTET_STRING_free(address);
  }
  ERR_clear_error();
  return names;
}

X509Ptr make_certificate(EVP_PKEY* key, const std::vector<std::string>& hosts, int years) {
  X509Ptr made(X509_new());
  X509* const x = made.get();
  unsigned char serial[16];
  if (x == nullptr || RAND_bytes(serial, sizeof serial) != 1) return nullptr;
  serial[0] &= 0x7f;  // positive
  BIGNUM* const number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
  BN_free(number);
  X509_set_version(x, X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(x), 0);
  X509_time_adj_ex(X509_getm_notAfter(x), 365 * years, 0, nullptr);
  X509_set_pubkey(x, key);
  X509_NAME* const name = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("kvd"), -1, -1, 0);
  X509_set_issuer_name(x, name);
  // A CA of its own, so that who has the file may trust it as one.
  const bool extended = add_extension(x, NID_basic_constraints, "critical,CA:TRUE") &&
                        add_extension(x, NID_key_usage, "critical,digitalSignature,keyCertSign") &&
                        add_extension(x, NID_ext_key_usage, "serverAuth,clientAuth") &&
                        add_extension(x, NID_subject_alt_name, alternative_names(hosts));
  if (!extended || X509_sign(x, key, EVP_sha256()) == 0) return nullptr;
  return made;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

}  // namespace

Result<CertificateFiles> self_signed_files(const std::string& directory, const std::vector<std::string>& hosts,
                                           int years) {
  KV_RETURN_IF_ERROR(make_directory(directory));
  CertificateFiles files{directory + "/cert.pem", directory + "/key.pem"};
  if (is_still_good(files)) return files;

  ERR_clear_error();
  const KeyPtr key(EVP_EC_gen("P-256"));
  const X509Ptr certificate = key ? make_certificate(key.get(), hosts, years) : nullptr;
  if (!certificate) return failed("no certificate for these hosts: " + openssl_error());
  // A BIO that wipes what it held.
  const BioPtr cert_text(BIO_new(BIO_s_mem()));
  const BioPtr key_text(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_X509(cert_text.get(), certificate.get()) != 1 ||
      PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return failed(openssl_error());
  }
  std::string key_pem = text_of(key_text.get());
  const Status key_written = write_file(files.key_file, key_pem);
  OPENSSL_cleanse(key_pem.data(), key_pem.size());
  KV_RETURN_IF_ERROR(key_written);
  KV_RETURN_IF_ERROR(write_file(files.cert_file, text_of(cert_text.get())));
  log_warning("made a TLS certificate that nobody has signed",
              {{"file", files.cert_file}, {"years", static_cast<int64_t>(years)}});
  return files;
}

}  // namespace kv::tls
