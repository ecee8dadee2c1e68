#include "tls_setup.h"

#include <algorithm>

#include "base/log.h"
#include "lists.h"
#include "server/identity.h"
#include "tls/cipher_suites.h"
#include "tls/self_signed.h"

namespace kvd {
namespace {

using kv::Code;
using kv::Result;
using kv::Status;

Status invalid(std::string text) { return {Code::kInvalidArgument, std::move(text)}; }

Result<kv::tls::Version> version_of(const std::string& flag, const std::string& text, kv::tls::Version unset) {
  if (text.empty()) return unset;
  if (text == "TLS1.2") return kv::tls::Version::kTls12;
  if (text == "TLS1.3") return kv::tls::Version::kTls13;
  return invalid("--" + flag + ": unexpected TLS version \"" + text + "\" (must be one of: TLS1.2, TLS1.3)");
}

Status share(const SharedTlsFlags& flags, kv::tls::Options* options) {
  const auto min = version_of("tls-min-version", flags.min_version, kv::tls::Version::kTls12);
  if (!min.ok()) return min.status();
  const auto max = version_of("tls-max-version", flags.max_version, kv::tls::Version::kTls13);
  if (!max.ok()) return max.status();
  if (*min > *max) {
    return invalid("min version (" + flags.min_version + ") is greater than max version (" + flags.max_version + ")");
  }
  options->min_version = *min;
  options->max_version = *max;
  options->cipher_suites = comma_list(flags.cipher_suites);
  if (options->cipher_suites.empty()) return {};
  if (*min == kv::tls::Version::kTls13) {
    return invalid("cipher suites cannot be configured when only TLS1.3 is enabled");
  }
  const auto known = kv::tls::openssl_cipher_list(options->cipher_suites);
  return known.ok() ? Status() : invalid("--cipher-suites: " + known.status().text());
}

// The hosts of URLs, each once, without wildcards, which nobody dials.
std::vector<std::string> hosts_of(const std::vector<std::string>& urls) {
  std::vector<std::string> hosts = {"localhost", "127.0.0.1"};
  for (const std::string& text : urls) {
    const auto url = kv::server::parse_url(text);
    if (!url.ok() || url->host == "0.0.0.0" || url->host == "::") continue;
    if (std::find(hosts.begin(), hosts.end(), url->host) == hosts.end()) hosts.push_back(url->host);
  }
  return hosts;
}

}  // namespace

Result<TlsSetup> tls_setup(const std::string& prefix, const TlsFlags& flags, const SharedTlsFlags& shared,
                           const std::vector<std::string>& listen_urls, const std::vector<std::string>& own_urls) {
  TlsSetup setup;
  kv::tls::Options& o = setup.options;
  KV_RETURN_IF_ERROR(share(shared, &o));
  const std::string flag = "--" + prefix;
  if (flags.cert_file.empty() != flags.key_file.empty()) {
    return invalid(flag + "cert-file and " + flag + "key-file go together: give both or neither");
  }
  if (flags.client_cert_file.empty() != flags.client_key_file.empty()) {
    return invalid(flag + "client-cert-file and " + flag + "client-key-file go together: give both or neither");
  }
  const bool files = !flags.cert_file.empty();
  setup.on = files || flags.automatic;
  setup.automatic = flags.automatic && !files;
  const auto https = std::find_if(listen_urls.begin(), listen_urls.end(),
                                  [](const std::string& url) { return url.starts_with("https://"); });
  if (https != listen_urls.end() && !setup.on) {
    return invalid(*https + " needs " + flag + "cert-file and " + flag + "key-file, or " + flag + "auto-tls");
  }
  if (flags.client_cert_auth && flags.trusted_ca_file.empty()) {
    // Go would take the system's roots, so that whoever has a certificate for some web site would get in.
    return invalid(flag + "client-cert-auth needs " + flag + "trusted-ca-file");
  }
  if (!setup.on && (flags.client_cert_auth || !flags.trusted_ca_file.empty())) {
    return invalid(flag + "trusted-ca-file needs a certificate to serve TLS with: " + flag + "cert-file and " + flag +
                   "key-file, or " + flag + "auto-tls");
  }
  if (flags.trusted_ca_file.empty() && !flags.crl_file.empty()) {
    return invalid("--" + std::string(prefix.empty() ? "client-" : prefix) + "crl-file needs " + flag +
                   "trusted-ca-file: without it nobody is asked for a certificate");
  }
  if (!flags.allowed_cn.empty() && !flags.allowed_hostname.empty()) {
    return invalid("--peer-cert-allowed-cn and --peer-cert-allowed-hostname are mutually exclusive");
  }
  o.cert_file = flags.cert_file;
  o.key_file = flags.key_file;
  // Who is dialled on the client port's behalf? Nobody: etcd's gateway dials its own port with these, ours does not.
  if (!prefix.empty()) {
    o.client_cert_file = flags.client_cert_file;
    o.client_key_file = flags.client_key_file;
  }
  o.trusted_ca_file = flags.trusted_ca_file;
  o.client_cert_auth = flags.client_cert_auth;
  o.crl_file = flags.crl_file;
  o.allowed_cns = comma_list(flags.allowed_cn);
  o.allowed_hostnames = comma_list(flags.allowed_hostname);
  if ((!o.allowed_cns.empty() || !o.allowed_hostnames.empty()) && o.trusted_ca_file.empty()) {
    return invalid("allowed names of certificates need " + flag + "trusted-ca-file");
  }
  if (setup.automatic) {
    if (shared.self_signed_years < 1 || shared.self_signed_years > 100) {
      return invalid("--self-signed-cert-validity must be from 1 to 100 years");
    }
    setup.years = shared.self_signed_years;
    std::vector<std::string> urls = listen_urls;
    urls.insert(urls.end(), own_urls.begin(), own_urls.end());
    setup.hosts = hosts_of(urls);
    // Nobody has signed the other members' certificates, unless a CA is named.
    o.trust_anyone_dialled = flags.trusted_ca_file.empty();
  }
  return setup;
}

Result<std::shared_ptr<kv::tls::Context>> make_tls(const TlsSetup& setup, const std::string& name,
                                                   const std::string& data_dir) {
  if (!setup.on) return std::shared_ptr<kv::tls::Context>();
  kv::tls::Options options = setup.options;
  if (setup.automatic) {
    auto files = kv::tls::self_signed_files(data_dir + "/fixtures/" + name, setup.hosts, setup.years);
    if (!files.ok()) return files.status();
    options.cert_file = files->cert_file;
    options.key_file = files->key_file;
  }
  return kv::tls::Context::create(options, name);
}

}  // namespace kvd
