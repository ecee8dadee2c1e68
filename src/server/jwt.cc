#include "server/jwt.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <array>
#include <charconv>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>
#include <vector>

#include "server/secret.h"

namespace kv::server {
namespace {

enum class Family : uint8_t { kHmac, kRsa, kRsaPss, kEc, kEd };

struct Algorithm {
  std::string_view name;
  Family family;
  const EVP_MD* (*digest)();
  size_t half_bytes;  // of an EC signature: one of its two numbers
};

constexpr std::array<Algorithm, 13> kAlgorithms{{
    {"HS256", Family::kHmac, EVP_sha256, 0},
    {"HS384", Family::kHmac, EVP_sha384, 0},
    {"HS512", Family::kHmac, EVP_sha512, 0},
    {"RS256", Family::kRsa, EVP_sha256, 0},
    {"RS384", Family::kRsa, EVP_sha384, 0},
    {"RS512", Family::kRsa, EVP_sha512, 0},
    {"PS256", Family::kRsaPss, EVP_sha256, 0},
    {"PS384", Family::kRsaPss, EVP_sha384, 0},
    {"PS512", Family::kRsaPss, EVP_sha512, 0},
    {"ES256", Family::kEc, EVP_sha256, 32},
    {"ES384", Family::kEc, EVP_sha384, 48},
    {"ES512", Family::kEc, EVP_sha512, 66},
    {"EdDSA", Family::kEd, nullptr, 0},
}};

template <auto free>
struct Freed {
  template <typename T>
  void operator()(T* p) const {
    free(p);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using ContextPtr = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using EcSignaturePtr = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;

const unsigned char* bytes_of(std::string_view s) { return reinterpret_cast<const unsigned char*>(s.data()); }
unsigned char* bytes_of(std::string& s) { return reinterpret_cast<unsigned char*>(s.data()); }

constexpr std::string_view kUrlAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// RFC 4648, section 5, without padding.
std::string base64url(std::string_view in) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : in) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    for (count += 8; count >= 6; count -= 6) out += kUrlAlphabet[bits >> (count - 6) & 63];
  }
  if (count > 0) out += kUrlAlphabet[bits << (6 - count) & 63];
  return out;
}

std::optional<std::string> from_base64url(std::string_view in) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : in) {
    const size_t at = kUrlAlphabet.find(c);
    if (at == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(at);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count);
    }
  }
  // One way to write each token only.
  if (in.size() % 4 == 1 || (bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return out;
}

Status invalid(std::string text) { return {Code::kInvalidArgument, "--auth-token jwt: " + std::move(text)}; }

Result<std::string> read_file(const std::string& option, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream all;
  all << file.rdbuf();
  if (!file) return invalid(option + ": cannot read " + path);
  return all.str();
}

KeyPtr read_private(std::string_view pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // No passphrase is asked for: nobody would be there to answer.
  return KeyPtr(PEM_read_bio_PrivateKey(
      bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
}

KeyPtr read_public(std::string_view pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  KeyPtr key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (key) return key;
  // As etcd does: a certificate has one, too.
  bio.reset(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const std::unique_ptr<X509, Freed<X509_free>> certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  return KeyPtr(certificate ? X509_get_pubkey(certificate.get()) : nullptr);
}

bool is_of(const EVP_PKEY* key, const Algorithm& algorithm) {
  switch (algorithm.family) {
    case Family::kHmac: return false;
    case Family::kRsa:
    case Family::kRsaPss: return EVP_PKEY_base_id(key) == EVP_PKEY_RSA;
    case Family::kEc:
      return EVP_PKEY_base_id(key) == EVP_PKEY_EC &&
             static_cast<size_t>(EVP_PKEY_bits(key) + 7) / 8 == algorithm.half_bytes;
    case Family::kEd: return EVP_PKEY_base_id(key) == EVP_PKEY_ED25519;
  }
  return false;
}

// "300s", "5m", "1h30m", as Go writes durations, in whole seconds; 0 when it is none.
int64_t parse_ttl_s(std::string_view text) {
  int64_t total = 0;
  while (!text.empty()) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number < 0 || number > 1'000'000'000) return 0;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (text.empty()) return 0;
    const char unit = text[0];
    text.remove_prefix(1);
    if (unit == 's')
      total += number;
    else if (unit == 'm' && !text.starts_with('s'))
      total += number * 60;
    else if (unit == 'h')
      total += number * 3600;
    else
      return 0;
  }
  return total;
}

bool set_padding(const Algorithm& algorithm, EVP_PKEY_CTX* context) {
  if (algorithm.family != Family::kRsaPss) return true;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

// JWS writes the two numbers of an EC signature side by side, OpenSSL as ASN.1.
std::optional<std::string> ec_to_raw(const std::string& der, size_t half) {
  const unsigned char* at = bytes_of(std::string_view(der));
  const EcSignaturePtr signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!signature) return std::nullopt;
  std::string raw(2 * half, '\0');
  if (BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), bytes_of(raw), static_cast<int>(half)) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), bytes_of(raw) + half, static_cast<int>(half)) < 0)
    return std::nullopt;
  return raw;
}

std::optional<std::string> ec_from_raw(std::string_view raw, size_t half) {
  if (raw.size() != 2 * half) return std::nullopt;
  const EcSignaturePtr signature(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(bytes_of(raw), static_cast<int>(half), nullptr);
  BIGNUM* s = BN_bin2bn(bytes_of(raw) + half, static_cast<int>(half), nullptr);
  if (!signature || ECDSA_SIG_set0(signature.get(), r, s) != 1) return std::nullopt;
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return std::nullopt;
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

}  // namespace

struct Jwt::Key {
  const Algorithm* algorithm = nullptr;
  int64_t ttl_s = 300;
  std::string secret;  // HMAC's
  KeyPtr private_key;  // null: it can be checked only
  KeyPtr public_key;
  std::string head;  // the first part of every token of ours

  ~Key() { wipe(&secret); }

  std::string hmac(std::string_view text) const {
    std::string mac(EVP_MAX_MD_SIZE, '\0');
    unsigned int size = 0;
    HMAC(algorithm->digest(), secret.data(), static_cast<int>(secret.size()), bytes_of(text), text.size(),
         bytes_of(mac), &size);
    mac.resize(size);
    return mac;
  }

  std::optional<std::string> signature_of(std::string_view text) const {
    if (algorithm->family == Family::kHmac) return hmac(text);
    const ContextPtr context(EVP_MD_CTX_new());
    EVP_PKEY_CTX* key_context = nullptr;
    const EVP_MD* digest = algorithm->digest ? algorithm->digest() : nullptr;
    size_t size = 0;
    if (EVP_DigestSignInit(context.get(), &key_context, digest, nullptr, private_key.get()) != 1 ||
        !set_padding(*algorithm, key_context) ||
        EVP_DigestSign(context.get(), nullptr, &size, bytes_of(text), text.size()) != 1)
      return std::nullopt;
    std::string out(size, '\0');
    if (EVP_DigestSign(context.get(), bytes_of(out), &size, bytes_of(text), text.size()) != 1) return std::nullopt;
    out.resize(size);
    if (algorithm->family == Family::kEc) return ec_to_raw(out, algorithm->half_bytes);
    return out;
  }

  bool is_signed(std::string_view text, std::string_view signature) const {
    if (algorithm->family == Family::kHmac) {
      const std::string mac = hmac(text);
      return mac.size() == signature.size() && CRYPTO_memcmp(mac.data(), signature.data(), mac.size()) == 0;
    }
    std::string own(signature);
    if (algorithm->family == Family::kEc) {
      auto der = ec_from_raw(signature, algorithm->half_bytes);
      if (!der) return false;
      own = *std::move(der);
    }
    const ContextPtr context(EVP_MD_CTX_new());
    EVP_PKEY_CTX* key_context = nullptr;
    const EVP_MD* digest = algorithm->digest ? algorithm->digest() : nullptr;
    return EVP_DigestVerifyInit(context.get(), &key_context, digest, nullptr, public_key.get()) == 1 &&
           set_padding(*algorithm, key_context) &&
           EVP_DigestVerify(context.get(), bytes_of(own), own.size(), bytes_of(text), text.size()) == 1;
  }
};

Jwt::Jwt(std::unique_ptr<Key> key) : key_(std::move(key)) {}
Jwt::~Jwt() = default;

Result<std::unique_ptr<Jwt>> Jwt::make(std::string_view options) {
  std::map<std::string, std::string, std::less<>> given;
  while (!options.empty()) {
    const size_t end = std::min(options.find(','), options.size());
    const std::string_view pair = options.substr(0, end);
    options.remove_prefix(std::min(end + 1, options.size()));
    const size_t equals = pair.find('=');
    const std::string name(pair.substr(0, equals));
    if (equals == std::string_view::npos) return invalid("\"" + name + "\" is no name=value");
    if (name != "sign-method" && name != "priv-key" && name != "pub-key" && name != "ttl")
      return invalid("unknown option " + name + "; there are sign-method, priv-key, pub-key, ttl");
    if (!given.emplace(name, pair.substr(equals + 1)).second) return invalid(name + " is given twice");
  }
  auto key = std::make_unique<Key>();
  for (const Algorithm& algorithm : kAlgorithms)
    if (algorithm.name == given["sign-method"]) key->algorithm = &algorithm;
  if (key->algorithm == nullptr) {
    return invalid(
        "sign-method must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, "
        "HS256, HS384, HS512, not \"" +
        given["sign-method"] + "\"");
  }
  if (!given["ttl"].empty()) {
    key->ttl_s = parse_ttl_s(given["ttl"]);
    if (key->ttl_s <= 0)
      return invalid("ttl: \"" + given["ttl"] + "\" is not a duration of a second or more: write 5m");
  }
  if (!given["priv-key"].empty()) {
    auto pem = read_file("priv-key", given["priv-key"]);
    if (!pem.ok()) return pem.status();
    if (key->algorithm->family == Family::kHmac) {
      key->secret = *pem;
      if (key->secret.empty()) return invalid("priv-key: " + given["priv-key"] + " is empty");
    } else {
      key->private_key = read_private(*pem);
      if (!key->private_key || !is_of(key->private_key.get(), *key->algorithm))
        return invalid("priv-key: " + given["priv-key"] + " holds no key for " + given["sign-method"]);
    }
    wipe(&*pem);
  }
  if (key->algorithm->family == Family::kHmac) {
    if (key->secret.empty()) return invalid("priv-key is needed");
  } else {
    if (!given["pub-key"].empty()) {
      auto pem = read_file("pub-key", given["pub-key"]);
      if (!pem.ok()) return pem.status();
      key->public_key = read_public(*pem);
      if (!key->public_key || !is_of(key->public_key.get(), *key->algorithm))
        return invalid("pub-key: " + given["pub-key"] + " holds no key for " + given["sign-method"]);
      if (key->private_key && EVP_PKEY_eq(key->private_key.get(), key->public_key.get()) != 1)
        return invalid("pub-key and priv-key do not belong together");
    } else if (key->private_key) {
      EVP_PKEY_up_ref(key->private_key.get());
      key->public_key.reset(key->private_key.get());
    } else {
      return invalid("priv-key or pub-key is needed");
    }
  }
  nlohmann::ordered_json head{{"alg", key->algorithm->name}, {"typ", "JWT"}};
  key->head = base64url(head.dump());
  return std::unique_ptr<Jwt>(new Jwt(std::move(key)));
}

Result<std::string> Jwt::sign(const store::Identity& identity, int64_t now_s) const {
  if (key_->algorithm->family != Family::kHmac && !key_->private_key)
    return Status(Code::kUnknown, "auth: token signing attempted with verify-only key");
  const nlohmann::ordered_json claims{
      {"exp", now_s + key_->ttl_s}, {"revision", identity.revision}, {"username", identity.user}};
  const std::string text =
      key_->head + "." + base64url(claims.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  const auto signature = key_->signature_of(text);
  if (!signature) return Status(Code::kInternal, "auth: the token could not be signed");
  return text + "." + base64url(*signature);
}

std::optional<store::Identity> Jwt::check(std::string_view token, int64_t now_s) const {
  const size_t first = token.find('.');
  const size_t last = token.rfind('.');
  if (first == std::string_view::npos || first == last) return std::nullopt;
  const auto head = from_base64url(token.substr(0, first));
  const auto body = from_base64url(token.substr(first + 1, last - first - 1));
  const auto signature = from_base64url(token.substr(last + 1));
  if (!head || !body || !signature) return std::nullopt;
  const auto fields = nlohmann::json::parse(*head, nullptr, false);
  if (!fields.is_object() || fields.value("alg", nlohmann::json()) != key_->algorithm->name) return std::nullopt;
  // A part that must be understood, says RFC 7515; we understand none.
  if (fields.contains("crit")) return std::nullopt;
  if (!key_->is_signed(token.substr(0, last), *signature)) return std::nullopt;

  const auto claims = nlohmann::json::parse(*body, nullptr, false);
  if (!claims.is_object()) return std::nullopt;
  const auto user = claims.find("username");
  const auto revision = claims.find("revision");
  const auto exp = claims.find("exp");
  const auto nbf = claims.find("nbf");
  if (user == claims.end() || !user->is_string() || revision == claims.end() || !revision->is_number() ||
      exp == claims.end() || !exp->is_number())
    return std::nullopt;
  const auto now = static_cast<double>(now_s);
  if (!(now < exp->get<double>())) return std::nullopt;
  if (nbf != claims.end() && !(nbf->is_number() && nbf->get<double>() <= now)) return std::nullopt;
  const double number = revision->get<double>();
  if (!(number >= 1 && number < 9e15)) return std::nullopt;
  return store::Identity{user->get<std::string>(), static_cast<uint64_t>(number)};
}

}  // namespace kv::server
