#include "tls/verify.h"

#include <openssl/x509v3.h>

#include <algorithm>

namespace kv::tls {
namespace {

bool is_revoked(const std::vector<CrlPtr>& lists, X509* certificate) {
  return std::any_of(lists.begin(), lists.end(), [certificate](const CrlPtr& list) {
    // Looks for the serial number among those of the certificate's own issuer. 2: "remove from CRL", a hold that ended.
    X509_REVOKED* entry = nullptr;
    return X509_CRL_get0_by_cert(list.get(), &entry, certificate) == 1;
  });
}

bool is_allowed(const Rules& rules, X509* certificate) {
  if (!rules.allowed_cns.empty()) {
    const std::string name = common_name(certificate);
    const auto& allowed = rules.allowed_cns;
    if (name.empty() || std::find(allowed.begin(), allowed.end(), name) == allowed.end()) return false;
  }
  if (rules.allowed_hostnames.empty()) return true;
  return std::any_of(rules.allowed_hostnames.begin(), rules.allowed_hostnames.end(),
                     [certificate](const std::string& host) { return is_for_host(certificate, host); });
}

}  // namespace

std::string common_name(const X509* certificate) {
  const X509_NAME* const subject = X509_get_subject_name(certificate);
  // The last one, as Go's pkix.Name takes it.
  int at = -1;
  for (int next = -1; (next = X509_NAME_get_index_by_NID(subject, NID_commonName, next)) >= 0;) at = next;
  if (at < 0) return {};
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return {};
  std::string name(reinterpret_cast<const char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return name.find('\0') == std::string::npos ? name : std::string();
}

bool is_for_host(X509* certificate, const std::string& host) {
  if (X509_check_ip_asc(certificate, host.c_str(), 0) == 1) return true;
  constexpr unsigned kFlags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
  return X509_check_host(certificate, host.data(), host.size(), kFlags, nullptr) == 1;
}

bool names_hosts(const X509* certificate) {
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const int type = sk_GENERAL_NAME_value(names.get(), i)->type;
    if (type == GEN_DNS || type == GEN_IPADD) return true;
  }
  return false;
}

int rules_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

int verify_certificate(int ok, X509_STORE_CTX* chain) {
  if (ok != 1) return ok;
  const auto* const ssl =
      static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const auto* const rules = static_cast<const Rules*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), rules_index()));
  X509* const certificate = X509_STORE_CTX_get_current_cert(chain);
  if (rules == nullptr || certificate == nullptr) return ok;
  if (is_revoked(rules->revoked, certificate)) {
    X509_STORE_CTX_set_error(chain, X509_V_ERR_CERT_REVOKED);
    return 0;
  }
  if (X509_STORE_CTX_get_error_depth(chain) == 0 && !is_allowed(*rules, certificate)) {
    X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
  }
  return ok;
}

}  // namespace kv::tls
