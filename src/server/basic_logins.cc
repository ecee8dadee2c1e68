#include "server/basic_logins.h"

#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <memory>
#include <utility>

#include "base/check.h"
#include "store/auth_errors.h"

namespace kv::server {
namespace {

std::string_view host_of(const CallContext& call) {
  return std::string_view(call.peer).substr(0, call.peer.rfind(':'));
}
std::string_view user_of(const CallContext& call) {
  return std::string_view(call.basic).substr(0, call.basic.find(':'));
}

}  // namespace

BasicLogins::BasicLogins(Prove prove, MayTry may_try, size_t max_remembered)
    : prove_(std::move(prove)), may_try_(std::move(may_try)), max_remembered_(max_remembered) {
  KV_CHECK(RAND_bytes(secret_.data(), static_cast<int>(secret_.size())) == 1, "the system has random numbers");
}

BasicLogins::Key BasicLogins::key_of(const CallContext& call) const {
  const std::string_view host = host_of(call);
  std::string text = std::to_string(host.size());
  text.append(" ").append(host).append(call.basic);
  Key key(32, '\0');
  const auto* made = HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
                          reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                          reinterpret_cast<unsigned char*>(key.data()), nullptr);
  KV_CHECK(made != nullptr, "SHA-256 is there");
  wipe(&text);
  return key;
}

Result<std::optional<store::Identity>> BasicLogins::find(const CallContext& call) {
  KV_RETURN_IF_ERROR(may_try_(user_of(call), call.peer));
  const Key key = key_of(call);
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::optional<store::Identity>();
  logins_.splice(logins_.end(), logins_, found->second);
  return std::optional<store::Identity>(found->second->identity);
}

void BasicLogins::prove(CallPtr call, Proved done) {
  const Key key = key_of(*call);
  // Whoever came first may go away before the others.
  const auto login = std::make_shared<OwnCall>();
  login->peer = call->peer;
  std::string user(user_of(*call));
  std::string password = call->basic.substr(user.size() + 1);
  Secret secret(&password);
  {
    const std::lock_guard lock(mutex_);
    std::vector<Waiting>& waiting = asked_[key];
    waiting.push_back({std::move(call), std::move(done)});
    if (waiting.size() > 1) return;
  }
  prove_(login, std::move(user), std::move(secret),
         [this, key](const Result<store::Identity>& proved) { finish(key, proved); });
}

void BasicLogins::finish(const Key& key, const Result<store::Identity>& proved) {
  std::vector<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    if (proved.ok()) remember(key, *proved);
    const auto found = asked_.find(key);
    waiting = std::move(found->second);
    asked_.erase(found);
  }
  const bool wrong = !proved.ok() && proved.status() == store::auth_failed_error();
  for (size_t i = 0; i < waiting.size(); ++i) {
    if (!wrong) {
      waiting[i].done(proved);
    } else if (i == 0) {
      waiting[i].done(Status(Code::kUnauthenticated, proved.status().text()));
    } else {
      // The password may have become right since the comparison began.
      prove(std::move(waiting[i].call), std::move(waiting[i].done));
    }
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
