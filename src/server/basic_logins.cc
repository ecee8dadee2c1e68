#include "server/basic_logins.h"

#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <memory>
#include <utility>

#include "base/check.h"
#include "store/auth_errors.h"

namespace kv::server {

BasicLogins::BasicLogins(Prove prove, size_t max_remembered)
    : prove_(std::move(prove)), max_remembered_(max_remembered) {
  KV_CHECK(RAND_bytes(secret_.data(), static_cast<int>(secret_.size())) == 1, "the system has random numbers");
}

BasicLogins::Key BasicLogins::key_of(std::string_view credentials) const {
  Key key(32, '\0');
  const auto* bytes = reinterpret_cast<const unsigned char*>(credentials.data());
  const auto* made = HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()), bytes, credentials.size(),
                          reinterpret_cast<unsigned char*>(key.data()), nullptr);
  KV_CHECK(made != nullptr, "SHA-256 is there");
  return key;
}

std::optional<store::Identity> BasicLogins::find(std::string_view credentials) {
  const Key key = key_of(credentials);
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  logins_.splice(logins_.end(), logins_, found->second);
  return found->second->identity;
}

void BasicLogins::prove(const CallContext& call, Proved done) {
  const Key key = key_of(call.basic);
  // Who guesses is slowed down by address, so others' guesses are not one's own.
  const Key asked = key + call.peer.substr(0, call.peer.rfind(':'));
  {
    const std::lock_guard lock(mutex_);
    std::vector<Proved>& waiting = asked_[asked];
    waiting.push_back(std::move(done));
    if (waiting.size() > 1) return;
  }
  // Whoever came first may go away before the others.
  const auto login = std::make_shared<OwnCall>();
  login->peer = call.peer;
  const size_t colon = call.basic.find(':');
  std::string password = call.basic.substr(colon + 1);
  prove_(login, call.basic.substr(0, colon), Secret(&password),
         [this, key, asked](const Result<store::Identity>& proved) { finish(key, asked, proved); });
}

void BasicLogins::finish(const Key& key, const Key& asked, const Result<store::Identity>& proved) {
  std::vector<Proved> waiting;
  {
    const std::lock_guard lock(mutex_);
    if (proved.ok()) remember(key, *proved);
    const auto found = asked_.find(asked);
    waiting = std::move(found->second);
    asked_.erase(found);
  }
  const bool wrong = !proved.ok() && proved.status() == store::auth_failed_error();
  for (Proved& done : waiting) {
    wrong ? done(Status(Code::kUnauthenticated, proved.status().text())) : done(proved);
  }
}

void BasicLogins::remember(const Key& key, const store::Identity& identity) {
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    found->second->identity = identity;
    return;
  }
  if (logins_.size() >= max_remembered_) {
    by_key_.erase(logins_.front().key);
    logins_.pop_front();
  }
  logins_.push_back({key, identity});
  by_key_.emplace(logins_.back().key, std::prev(logins_.end()));
}

}  // namespace kv::server
