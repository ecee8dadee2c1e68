#include "server/login_limit.h"

#include <openssl/sha.h>

#include <algorithm>

#include "server/errors.h"

namespace kv::server {
namespace {

// A hash, since strangers make these names as long as they like. A user's name can't be taken for a part of an address:
// the address comes first, and has no blank.
std::string name_of(std::string_view user, std::string_view peer) {
  const std::string text = std::string(peer.substr(0, peer.rfind(':'))).append(" ").append(user);
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

}  // namespace

Status LoginLimit::may_try(std::string_view user, std::string_view peer, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  while (!pairs_.empty() && pairs_.front().last_ms + kForgetMs <= now_ms) drop_first();
  const auto found = by_name_.find(name_of(user, peer));
  if (found == by_name_.end() || found->second->not_before_ms <= now_ms) return {};
  return errors::too_many_requests();
}

void LoginLimit::failed(std::string_view user, std::string_view peer, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  std::string name = name_of(user, peer);
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    if (pairs_.size() >= kMaxPairs) drop_first();
    pairs_.push_back({std::move(name)});
    by_name_.emplace(pairs_.back().name, std::prev(pairs_.end()));
  } else {
    pairs_.splice(pairs_.end(), pairs_, found->second);
  }
  Pair& pair = pairs_.back();
  pair.last_ms = now_ms;
  if (++pair.failures <= kFreeFailures) return;
  const int doublings = std::min(pair.failures - kFreeFailures - 1, 16);
  pair.not_before_ms = now_ms + std::min(kFirstWaitMs << doublings, kLongestWaitMs);
}

void LoginLimit::succeeded(std::string_view user, std::string_view peer) {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(name_of(user, peer));
  if (found == by_name_.end()) return;
  const auto pair = found->second;
  by_name_.erase(found);
  pairs_.erase(pair);
}

void LoginLimit::drop_first() {
  by_name_.erase(pairs_.front().name);
  pairs_.pop_front();
}

}  // namespace kv::server
