#include "server/passwords.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <chrono>
#include <memory>
#include <vector>

#include "server/errors.h"

namespace kv::server {
namespace {

// libcrypt's scratch, which holds what was computed with the password.
struct Scratch {
  Scratch() : data(std::make_unique<crypt_data>()) {}
  ~Scratch() { OPENSSL_cleanse(data.get(), sizeof(crypt_data)); }
  std::unique_ptr<crypt_data> data;
};

}  // namespace

Result<std::string> bcrypt_hash(const std::string& password, int cost) {
  uint8_t random[16];
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (RAND_bytes(random, sizeof random) != 1) return Status(Code::kInternal, "no random numbers");
  if (crypt_gensalt_rn("$2b$", static_cast<unsigned long>(cost), reinterpret_cast<const char*>(random), sizeof random,
                       setting, sizeof setting) == nullptr)
    return Status(Code::kInternal, "libcrypt makes no bcrypt salt");
  Scratch scratch;
  const char* hash = crypt_r(password.c_str(), setting, scratch.data.get());
  if (hash == nullptr || hash[0] == '*') return Status(Code::kInternal, "libcrypt makes no bcrypt hash");
  return std::string(hash);
}

bool bcrypt_fits(const std::string& password, const std::string& hash) {
  Scratch scratch;
  const char* again = crypt_r(password.c_str(), hash.c_str(), scratch.data.get());
  if (again == nullptr || again[0] == '*') return false;
  const std::string_view computed(again);
  return computed.size() == hash.size() && CRYPTO_memcmp(computed.data(), hash.data(), hash.size()) == 0;
}

Passwords::Passwords(int cost) : cost_(cost), thread_([this] { run(); }) {}

Passwords::~Passwords() { stop(); }

void Passwords::stop() {
  stopped_ = true;
  work_.close();
  if (thread_.joinable()) thread_.join();
}

void Passwords::hash(Secret password, Hashed done) {
  auto shared = std::make_shared<Hashed>(std::move(done));
  Work work = [this, password = std::move(password), shared] {
    if (stopped_) return (*shared)(errors::stopped());
    (*shared)(bcrypt_hash(password.bytes(), cost_));
  };
  if (!push(std::move(work))) (*shared)(refusal());
}

void Passwords::compare(Secret password, std::string hash, absl::AnyInvocable<bool()> wanted, Compared done) {
  auto shared = std::make_shared<Compared>(std::move(done));
  Work work = [this, password = std::move(password), hash = std::move(hash), wanted = std::move(wanted),
               shared]() mutable {
    if (stopped_) return (*shared)(errors::stopped());
    if (!wanted()) return (*shared)(Status(Code::kCanceled, "etcdserver: request canceled"));
    // A password with a zero byte would be compared only up to it; none such can have been set.
    const bool comparable = password.bytes().find('\0') == std::string::npos && !hash.empty();
    if (hash.empty() && nobodys_hash_.empty()) nobodys_hash_ = bcrypt_hash("nobody", cost_).value();
    const bool fits = bcrypt_fits(password.bytes(), hash.empty() ? nobodys_hash_ : hash);
    (*shared)(fits && comparable);
  };
  if (!push(std::move(work))) (*shared)(refusal());
}

bool Passwords::push(Work&& work) {
  // The thread takes all that waits at once, so the inbox alone is no bound.
  if (waiting_.fetch_add(1) < kMaxWaiting && work_.push(std::move(work))) return true;
  waiting_.fetch_sub(1);
  return false;
}

Status Passwords::refusal() const { return stopped_ ? errors::stopped() : errors::too_many_requests(); }

void Passwords::run() {
  name_this_thread("kvd-passwords");
  std::vector<Work> works;
  while (work_.take_all(works, std::chrono::steady_clock::now() + std::chrono::hours(1))) {
    for (Work& work : works) {
      waiting_.fetch_sub(1);
      work();
      work = nullptr;  // and the password with it
    }
  }
}

}  // namespace kv::server
