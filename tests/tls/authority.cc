#include "tls/authority.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace kv::test {
namespace {

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  KV_CHECK(extension != nullptr, "a certificate's extension: " + value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void set_name(X509* certificate, const std::string& cn) {
  X509_NAME* const name = X509_get_subject_name(certificate);
  const auto add = [name](const char* field, const std::string& text) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(text.data()),
                               static_cast<int>(text.size()), -1, 0);
  };
  add("O", "kvd test");
  if (!cn.empty()) add("CN", cn);
}

template <typename Write>
void write_pem(const std::string& path, const Write& write) {
  BIO* const bio = BIO_new(BIO_s_mem());
  KV_CHECK(write(bio) == 1, "can't write " + path);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  write_text(path, std::string(data, static_cast<size_t>(size)));
  BIO_free(bio);
}

X509* blank(EVP_PKEY* key, const std::string& cn, uint64_t serial, int64_t begins_in_s, int64_t ends_in_s) {
  X509* const x = X509_new();
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial);
  X509_time_adj_ex(X509_getm_notBefore(x), 0, begins_in_s, nullptr);
  X509_time_adj_ex(X509_getm_notAfter(x), 0, ends_in_s, nullptr);
  X509_set_pubkey(x, key);
  set_name(x, cn);
  return x;
}

}  // namespace

struct Authority::Keys {
  EVP_PKEY* key;
  X509* certificate;
};

Authority::Authority(std::string directory, std::string name)
    : directory_(std::move(directory)),
      name_(std::move(name)),
      ca_file_(directory_ + "/" + name_ + ".pem"),
      keys_(std::make_unique<Keys>()),
      next_serial_(1000) {
  keys_->key = EVP_EC_gen("P-256");
  keys_->certificate = blank(keys_->key, name_, 1, -3600, 86400 * 30);
  X509* const x = keys_->certificate;
  X509_set_issuer_name(x, X509_get_subject_name(x));
  add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
  X509_sign(x, keys_->key, EVP_sha256());
  write_pem(ca_file_, [x](BIO* bio) { return PEM_write_bio_X509(bio, x); });
}

Authority::~Authority() {
  EVP_PKEY_free(keys_->key);
  X509_free(keys_->certificate);
}

IssuedFiles Authority::issue(const std::string& name, const CertificateSpec& spec) {
  IssuedFiles files{directory_ + "/" + name + ".pem", directory_ + "/" + name + "-key.pem", next_serial_++};
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const x = blank(key, spec.cn, files.serial, spec.begins_in_s, spec.ends_in_s);
  X509_set_issuer_name(x, X509_get_subject_name(keys_->certificate));
  add_extension(x, keys_->certificate, NID_key_usage, "critical,digitalSignature");
  add_extension(x, keys_->certificate, NID_ext_key_usage, "serverAuth,clientAuth");
  std::string names;
  for (const std::string& host : spec.hosts) {
    ASN1_OCTET_STRING* const address = a2i_IPADDRESS(host.c_str());
    names += (names.empty() ? "" : ",") + std::string(address != nullptr ? "IP:" : "DNS:") + host;
    ASN1_OCTET_STRING_free(address);
  }
  if (!names.empty()) add_extension(x, keys_->certificate, NID_subject_alt_name, names);
  X509_sign(x, keys_->key, EVP_sha256());
  write_pem(files.key_file,
            [key](BIO* bio) { return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
  write_pem(files.cert_file, [x](BIO* bio) { return PEM_write_bio_X509(bio, x); });
  X509_free(x);
  EVP_PKEY_free(key);
  return files;
}

std::string Authority::revoke(const std::string& name, const std::vector<uint64_t>& serials, bool der) {
  X509_CRL* const list = X509_CRL_new();
  X509_CRL_set_version(list, X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(list, X509_get_subject_name(keys_->certificate));
  ASN1_TIME* const time = ASN1_TIME_new();
  X509_time_adj_ex(time, 0, -60, nullptr);
  X509_CRL_set1_lastUpdate(list, time);
  for (const uint64_t serial : serials) {
    X509_REVOKED* const entry = X509_REVOKED_new();
    ASN1_INTEGER* const number = ASN1_INTEGER_new();
    ASN1_INTEGER_set_uint64(number, serial);
    X509_REVOKED_set_serialNumber(entry, number);
    X509_REVOKED_set_revocationDate(entry, time);
    ASN1_INTEGER_free(number);
    X509_CRL_add0_revoked(list, entry);
  }
  X509_time_adj_ex(time, 1, 0, nullptr);
  X509_CRL_set1_nextUpdate(list, time);
  ASN1_TIME_free(time);
  X509_CRL_sort(list);
  X509_CRL_sign(list, keys_->key, EVP_sha256());
  const std::string path = directory_ + "/" + name;
  write_pem(path,
            [list, der](BIO* bio) { return der ? i2d_X509_CRL_bio(bio, list) : PEM_write_bio_X509_CRL(bio, list); });
  X509_CRL_free(list);
  return path;
}

ScratchDirectory::ScratchDirectory() {
  const char* const base = std::getenv("TMPDIR");
  path_ = std::string(base != nullptr ? base : "/tmp") + "/kvd-tls-XXXXXX";
  KV_CHECK(::mkdtemp(path_.data()) != nullptr, "no directory for the test");
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_text(const std::string& path, const std::string& text) {
  {
    std::ofstream out(path + ".new", std::ios::binary);
    out << text;
    KV_CHECK(out.good(), "can't write " + path);
  }
  std::filesystem::rename(path + ".new", path);
}

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace kv::test
