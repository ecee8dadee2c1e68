#include "server/simple_tokens.h"

#include <openssl/rand.h>

#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace kv::server {
namespace {

constexpr size_t kPrefixLetters = 16;

}  // namespace

std::string SimpleTokens::random_prefix() {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string prefix;
  while (prefix.size() < kPrefixLetters) {
    uint8_t byte;
    KV_CHECK(RAND_bytes(&byte, 1) == 1, "no random numbers");
    // Bytes above the last multiple of 52 would make some letters likelier.
    if (byte < 256 / kLetters.size() * kLetters.size()) prefix += kLetters[byte % kLetters.size()];
  }
  return prefix;
}

std::optional<uint64_t> SimpleTokens::index_of(std::string_view token) {
  if (token.size() <= kPrefixLetters + 1 || token[kPrefixLetters] != '.') return std::nullopt;
  const std::string_view digits = token.substr(kPrefixLetters + 1);
  uint64_t index = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return index;
}

void SimpleTokens::assigned(const std::string& token, store::Identity identity) {
  const int64_t now_ms = Clock::system().monotonic_ms();
  const std::lock_guard lock(mutex_);
  drop_expired(now_ms);
  if (by_text_.contains(token)) return;
  if (tokens_.size() >= max_tokens_) drop_first();
  tokens_.push_back({token, std::move(identity), now_ms + ttl_ms_});
  by_text_.emplace(tokens_.back().text, std::prev(tokens_.end()));
}

std::optional<store::Identity> SimpleTokens::find(std::string_view token, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  drop_expired(now_ms);
  const auto found = by_text_.find(token);
  if (found == by_text_.end()) return std::nullopt;
  found->second->expires_ms = now_ms + ttl_ms_;
  tokens_.splice(tokens_.end(), tokens_, found->second);
  return found->second->identity;
}

size_t SimpleTokens::size() const {
  const std::lock_guard lock(mutex_);
  return tokens_.size();
}

void SimpleTokens::drop_expired(int64_t now_ms) {
  while (!tokens_.empty() && tokens_.front().expires_ms <= now_ms) drop_first();
}

void SimpleTokens::drop_first() {
  by_text_.erase(tokens_.front().text);
  tokens_.pop_front();
}

}  // namespace kv::server
