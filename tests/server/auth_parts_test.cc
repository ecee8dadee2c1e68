// The parts of logging in, each by itself: tokens of both kinds, passwords, and how often one may guess.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cstdio>
#include <future>
#include <thread>

#include "fixture.h"
#include "server/basic_logins.h"
#include "server/jwt.h"
#include "server/login_limit.h"
#include "server/passwords.h"
#include "server/simple_tokens.h"
#include "store/auth_errors.h"

namespace kv::server {
namespace {

// ---- simple tokens ----

TEST(SimpleTokens, A_token_is_random_and_names_its_log_entry) {
  const std::string one = SimpleTokens::random_prefix(), two = SimpleTokens::random_prefix();
  EXPECT_EQ(one.size(), 16u);
  EXPECT_NE(one, two);
  EXPECT_EQ(SimpleTokens::index_of(one + ".42"), 42u);
  for (const std::string bad : {"", ".", "abc.1", "abcdefghijklmnop", "abcdefghijklmnop.", "abcdefghijklmnop.x",
                                "abcdefghijklmnop.1x", "abcdefghijklmnop.-1", "abcdefghijklmnop.99999999999999999999"})
    EXPECT_FALSE(SimpleTokens::index_of(bad)) << bad;
}

TEST(SimpleTokens, A_token_lives_as_long_as_it_is_used) {
  SimpleTokens tokens(1000);
  const int64_t now = Clock::system().monotonic_ms();
  tokens.assigned("t", {"alice", 3});
  EXPECT_EQ(tokens.find("t", now + 900)->user, "alice");
  EXPECT_EQ(tokens.find("t", now + 1800)->revision, 3u);
  EXPECT_FALSE(tokens.find("t", now + 2801));
  EXPECT_FALSE(tokens.find("t", now));  // it is gone for good
  EXPECT_FALSE(tokens.find("", now));
}

TEST(SimpleTokens, The_token_that_was_used_least_lately_goes_when_there_are_too_many) {
  SimpleTokens tokens(1'000'000, 3);
  const int64_t now = Clock::system().monotonic_ms();
  for (const char* token : {"one", "two", "three"}) tokens.assigned(token, {token, 1});
  EXPECT_TRUE(tokens.find("one", now));
  tokens.assigned("four", {"four", 1});
  EXPECT_EQ(tokens.size(), 3u);
  EXPECT_FALSE(tokens.find("two", now));
  EXPECT_TRUE(tokens.find("one", now));
}

// ---- HTTP Basic ----

class BasicLoginsTest : public testing::Test {
 protected:
  struct Asked {
    std::string peer, user, password;
    BasicLogins::Proved done;
  };
  static CallPtr call_of(const std::string& credentials, const std::string& peer = "10.0.0.1:5000") {
    auto call = std::make_shared<OwnCall>();
    call->basic = credentials;
    call->peer = peer;
    return call;
  }
  std::optional<store::Identity> find(const std::string& credentials, const std::string& peer = "10.0.0.1:5000") {
    const auto found = logins_.find(*call_of(credentials, peer));
    return found.ok() ? *found : std::nullopt;
  }
  // What is said of the credentials, once it is.
  std::shared_ptr<std::optional<Result<store::Identity>>> prove(const std::string& credentials,
                                                                const std::string& peer = "10.0.0.1:5000") {
    const auto call = call_of(credentials, peer);
    auto said = std::make_shared<std::optional<Result<store::Identity>>>();
    logins_.prove(call, [said](Result<store::Identity> proved) { said->emplace(std::move(proved)); });
    return said;
  }
  void answer(size_t which, const Result<store::Identity>& proved) { asked_.at(which).done(proved); }

  std::vector<Asked> asked_;
  std::string limited_;
  BasicLogins logins_{[this](const CallPtr& call, std::string user, Secret password, BasicLogins::Proved done) {
                        asked_.push_back({call->peer, std::move(user), password.bytes(), std::move(done)});
                      },
                      [this](std::string_view user, std::string_view peer) {
                        return limited_ == std::string(user) + " " + std::string(peer)
                                   ? Status(Code::kResourceExhausted, "later")
                                   : Status();
                      },
                      2};
};

TEST_F(BasicLoginsTest, A_password_that_was_right_is_not_compared_again) {
  EXPECT_FALSE(find("alice:a:b"));
  const auto said = prove("alice:a:b");
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_EQ(asked_[0].user, "alice");
  EXPECT_EQ(asked_[0].password, "a:b");
  EXPECT_FALSE(*said);
  answer(0, store::Identity{"alice", 3});
  ASSERT_TRUE(*said && (*said)->ok());
  EXPECT_EQ(find("alice:a:b"), (store::Identity{"alice", 3}));
  EXPECT_FALSE(find("alice:a:c"));
  EXPECT_FALSE(find("alice:a"));
  EXPECT_FALSE(find(""));
  // Proved again, after a change of the user's: what is newer counts.
  const auto again = prove("alice:a:b");
  answer(1, store::Identity{"alice", 8});
  EXPECT_EQ(find("alice:a:b")->revision, 8u);
}

TEST_F(BasicLoginsTest, Those_who_bring_the_same_wait_for_one_comparison) {
  const auto one = prove("alice:x"), two = prove("alice:x", "10.0.0.1:5001");
  const auto elsewhere = prove("alice:x", "10.0.0.2:5000"), other = prove("alice:y");
  ASSERT_EQ(asked_.size(), 3u);
  answer(0, store::Identity{"alice", 3});
  EXPECT_TRUE(*one && (*one)->ok());
  EXPECT_TRUE(*two && (*two)->ok());
  EXPECT_FALSE(*elsewhere);
  EXPECT_FALSE(*other);
  answer(1, Status(Code::kUnavailable, "no leader"));
  EXPECT_EQ((*elsewhere)->status().text(), "no leader");
}

TEST_F(BasicLoginsTest, Who_must_wait_is_not_told_whether_a_guess_is_right) {
  const auto said = prove("alice:x");
  answer(0, store::Identity{"alice", 3});
  EXPECT_TRUE(find("alice:x"));
  // Elsewhere it has to be compared, and so the guesses are counted.
  EXPECT_FALSE(find("alice:x", "10.0.0.2:5000"));
  limited_ = "alice 10.0.0.1:5000";
  EXPECT_EQ(logins_.find(*call_of("alice:x")).status().text(), "later");
  EXPECT_EQ(logins_.find(*call_of("alice:y")).status().text(), "later");
  limited_.clear();
  EXPECT_TRUE(find("alice:x"));
}

TEST_F(BasicLoginsTest, A_wrong_password_is_compared_anew_for_those_who_came_later) {
  const auto first = prove("alice:x"), second = prove("alice:x"), third = prove("alice:x");
  answer(0, store::auth_failed_error());
  EXPECT_EQ((*first)->status().code(), Code::kUnauthenticated);
  EXPECT_FALSE(*second);
  ASSERT_EQ(asked_.size(), 2u);
  answer(1, store::Identity{"alice", 3});  // the password was changed meanwhile
  EXPECT_TRUE(*second && (*second)->ok());
  EXPECT_TRUE(*third && (*third)->ok());
}

TEST_F(BasicLoginsTest, A_wrong_password_is_not_remembered_and_authenticates_nobody) {
  const auto said = prove("alice:x");
  answer(0, store::auth_failed_error());
  EXPECT_EQ((*said)->status(), Status(Code::kUnauthenticated, store::auth_failed_error().text()));
  EXPECT_FALSE(find("alice:x"));
  prove("alice:x");
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(BasicLoginsTest, The_login_that_was_used_least_lately_goes_when_there_are_too_many) {
  for (const std::string user : {"one", "two"}) {
    prove(user + ":x");
    answer(asked_.size() - 1, store::Identity{user, 1});
  }
  EXPECT_TRUE(find("one:x"));
  prove("three:x");
  answer(2, store::Identity{"three", 1});
  EXPECT_TRUE(find("one:x"));
  EXPECT_FALSE(find("two:x"));
}

// ---- passwords ----

TEST(Passwords, A_hash_fits_its_password_and_no_other) {
  const std::string hash = bcrypt_hash("secret", 4).value();
  EXPECT_TRUE(hash.starts_with("$2b$04$"));
  EXPECT_TRUE(bcrypt_fits("secret", hash));
  EXPECT_FALSE(bcrypt_fits("Secret", hash));
  EXPECT_FALSE(bcrypt_fits("", hash));
  EXPECT_NE(bcrypt_hash("secret", 4).value(), hash);  // another salt
  // As Go's bcrypt writes it, which etcd's state holds.
  EXPECT_TRUE(bcrypt_fits("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
  for (const char* bad : {"", "*0", "*1", "$2b$04$", "plain", "$1$abc$def"}) EXPECT_FALSE(bcrypt_fits("secret", bad));
}

Result<bool> compare(Passwords& passwords, std::string password, const std::string& hash) {
  std::promise<Result<bool>> promise;
  passwords.compare(
      Secret(&password), hash, [] { return true; },
      [&promise](Result<bool> fits) { promise.set_value(std::move(fits)); });
  EXPECT_TRUE(password.empty()) << "the caller keeps the password";
  return promise.get_future().get();
}

TEST(Passwords, No_password_fits_a_user_without_one) {
  Passwords passwords(4);
  EXPECT_FALSE(compare(passwords, "", "").value());
  EXPECT_FALSE(compare(passwords, "nobody", "").value());
  const std::string hash = bcrypt_hash("secret", 4).value();
  EXPECT_TRUE(compare(passwords, "secret", hash).value());
  // libcrypt reads up to the zero.
  EXPECT_FALSE(compare(passwords, std::string("secret\0more", 11), hash).value());
}

TEST(Passwords, Too_many_at_a_time_are_refused_and_all_are_answered) {
  Passwords passwords(10);
  std::atomic<int> answered{0}, refused{0};
  const int asked = static_cast<int>(Passwords::kMaxWaiting) + 40;
  for (int i = 0; i < asked; ++i) {
    std::string password = "p";
    passwords.hash(Secret(&password), [&](const Result<std::string>& hash) {
      if (!hash.ok() && hash.status().text() == "etcdserver: too many requests") ++refused;
      ++answered;
    });
  }
  passwords.stop();
  EXPECT_EQ(answered.load(), asked);
  EXPECT_GE(refused.load(), 30);  // one or a few may have been done meanwhile
  std::string late = "p";
  passwords.hash(Secret(&late), [&](const Result<std::string>& hash) {
    EXPECT_EQ(hash.status().text(), "etcdserver: server stopped");
    ++answered;
  });
  EXPECT_EQ(answered.load(), asked + 1);
}

TEST(Passwords, A_caller_who_has_gone_is_not_worked_for) {
  Passwords passwords(4);
  std::promise<Result<bool>> promise;
  std::string password = "secret";
  passwords.compare(
      Secret(&password), bcrypt_hash("secret", 4).value(), [] { return false; },
      [&promise](Result<bool> fits) { promise.set_value(std::move(fits)); });
  EXPECT_EQ(promise.get_future().get().status().code(), Code::kCanceled);
}

// ---- how often one may guess ----

TEST(LoginLimit, Guessing_gets_slower_for_the_guesser_alone) {
  LoginLimit limit;
  int64_t now = 0;
  for (int i = 0; i < LoginLimit::kFreeFailures; ++i) {
    EXPECT_TRUE(limit.may_try("alice", "10.0.0.1:1", now).ok());
    limit.failed("alice", "10.0.0.1:" + std::to_string(i), now);
  }
  EXPECT_TRUE(limit.may_try("alice", "10.0.0.1:9", now).ok());
  int64_t wait = LoginLimit::kFirstWaitMs;
  for (int i = 0; i < 10; ++i) {
    limit.failed("alice", "10.0.0.1:9", now);
    EXPECT_EQ(limit.may_try("alice", "10.0.0.1:9", now + wait - 1).code(), Code::kResourceExhausted);
    EXPECT_TRUE(limit.may_try("alice", "10.0.0.1:9", now + wait).ok());
    EXPECT_TRUE(limit.may_try("alice", "10.0.0.2:9", now).ok());
    EXPECT_TRUE(limit.may_try("bob", "10.0.0.1:9", now).ok());
    now += wait;
    wait = std::min(2 * wait, LoginLimit::kLongestWaitMs);
  }
  limit.failed("alice", "10.0.0.1:9", now);
  limit.succeeded("alice", "10.0.0.1:1");
  EXPECT_TRUE(limit.may_try("alice", "10.0.0.1:9", now).ok());
}

TEST(LoginLimit, It_forgets_and_does_not_grow) {
  LoginLimit limit;
  for (int i = 0; i < 5; ++i) limit.failed("alice", "10.0.0.1:9", 0);
  EXPECT_FALSE(limit.may_try("alice", "10.0.0.1:9", 0).ok());
  for (size_t i = 0; i < LoginLimit::kMaxPairs; ++i) limit.failed("user " + std::to_string(i), "10.0.0.2:1", 1);
  EXPECT_TRUE(limit.may_try("alice", "10.0.0.1:9", 1).ok());
}

// ---- signed tokens ----

class JwtTest : public testing::Test {
 protected:
  static constexpr int64_t kNow = 1'800'000'000;

  std::string file(const std::string& name) { return directory_.path() + "/" + name; }
  void write(const std::string& name, const std::string& bytes) {
    FILE* f = std::fopen(file(name).c_str(), "w");
    ASSERT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), f), bytes.size());
    std::fclose(f);
  }
  void write_keys(const std::string& name, EVP_PKEY* key) {
    ASSERT_NE(key, nullptr);
    FILE* f = std::fopen(file(name + ".key").c_str(), "w");
    EXPECT_EQ(PEM_write_PrivateKey(f, key, nullptr, nullptr, 0, nullptr, nullptr), 1);
    std::fclose(f);
    f = std::fopen(file(name + ".pub").c_str(), "w");
    EXPECT_EQ(PEM_write_PUBKEY(f, key), 1);
    std::fclose(f);
    EVP_PKEY_free(key);
  }
  std::unique_ptr<Jwt> make(const std::string& options) {
    auto made = Jwt::make(options);
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    return made.ok() ? *std::move(made) : nullptr;
  }
  // The options of every algorithm there is, with keys.
  std::vector<std::pair<std::string, std::string>> all() {
    write_keys("rsa", EVP_RSA_gen(2048));
    write_keys("p256", EVP_EC_gen("P-256"));
    write_keys("p384", EVP_EC_gen("P-384"));
    write_keys("p521", EVP_EC_gen("P-521"));
    write_keys("ed", EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    write("hmac.key", "a shared secret of some length..");
    std::vector<std::pair<std::string, std::string>> out;
    for (const char* a : {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}) out.emplace_back(a, "rsa");
    out.emplace_back("ES256", "p256");
    out.emplace_back("ES384", "p384");
    out.emplace_back("ES512", "p521");
    out.emplace_back("EdDSA", "ed");
    for (const char* a : {"HS256", "HS384", "HS512"}) out.emplace_back(a, "hmac");
    return out;
  }
  std::string options(const std::string& algorithm, const std::string& key) {
    return "sign-method=" + algorithm + ",priv-key=" + file(key + ".key");
  }

  TempDirectory directory_;
};

TEST_F(JwtTest, Every_algorithm_signs_what_it_checks_and_checks_nothing_else) {
  std::vector<std::unique_ptr<Jwt>> all_jwts;
  std::vector<std::string> tokens;
  for (const auto& [algorithm, key] : all()) {
    all_jwts.push_back(make(options(algorithm, key) + ",ttl=1m"));
    ASSERT_TRUE(all_jwts.back());
    tokens.push_back(all_jwts.back()->sign({"alice", 7}, kNow).value());
  }
  for (size_t i = 0; i < all_jwts.size(); ++i) {
    for (size_t j = 0; j < tokens.size(); ++j) {
      const auto found = all_jwts[i]->check(tokens[j], kNow);
      EXPECT_EQ(found.has_value(), i == j) << i << " checks " << j;
      if (found) {
        EXPECT_EQ(*found, (store::Identity{"alice", 7}));
      }
    }
    EXPECT_TRUE(all_jwts[i]->check(tokens[i], kNow + 59));
    EXPECT_FALSE(all_jwts[i]->check(tokens[i], kNow + 60));
    // Any changed letter.
    for (size_t at = 0; at < tokens[i].size(); at += 7) {
      std::string changed = tokens[i];
      changed[at] = changed[at] == 'A' ? 'B' : 'A';
      EXPECT_FALSE(all_jwts[i]->check(changed, kNow)) << "letter " << at;
    }
  }
}

TEST_F(JwtTest, A_token_without_signature_or_with_another_algorithm_is_none) {
  write_keys("rsa", EVP_RSA_gen(2048));
  const auto rs = make("sign-method=RS256,priv-key=" + file("rsa.key") + ",pub-key=" + file("rsa.pub"));
  // {"alg":"none","typ":"JWT"} {"exp":1900000000,"revision":7,"username":"root"}
  const std::string none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
  const std::string claims = "eyJleHAiOjE5MDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6InJvb3QifQ";
  EXPECT_FALSE(rs->check(none + "." + claims + ".", kNow));
  EXPECT_FALSE(rs->check(none + "." + claims, kNow));
  // The public key taken for a shared secret: the classic confusion.
  FILE* f = std::fopen(file("rsa.pub").c_str(), "r");
  char pem[4096];
  const size_t n = std::fread(pem, 1, sizeof pem, f);
  std::fclose(f);
  write("confused.key", std::string(pem, n));
  const auto hs = make("sign-method=HS256,priv-key=" + file("confused.key"));
  const std::string confused = hs->sign({"root", 7}, kNow).value();
  EXPECT_TRUE(hs->check(confused, kNow));
  EXPECT_FALSE(rs->check(confused, kNow));
  for (const std::string& bad : {std::string(), std::string("."), std::string(".."), std::string("a.b.c"), none})
    EXPECT_FALSE(rs->check(bad, kNow));
}

TEST_F(JwtTest, With_the_public_key_alone_tokens_are_checked_and_not_made) {
  write_keys("p256", EVP_EC_gen("P-256"));
  const auto both = make("sign-method=ES256,priv-key=" + file("p256.key"));
  const auto checker = make("sign-method=ES256,pub-key=" + file("p256.pub"));
  EXPECT_TRUE(checker->check(both->sign({"alice", 1}, kNow).value(), kNow));
  EXPECT_EQ(checker->sign({"alice", 1}, kNow).status().text(), "auth: token signing attempted with verify-only key");
}

TEST_F(JwtTest, Options_that_make_no_sense_are_refused) {
  write_keys("rsa", EVP_RSA_gen(2048));
  write_keys("other", EVP_RSA_gen(2048));
  write("empty.key", "");
  for (const std::string& bad :
       {std::string(), std::string("sign-method=none"), std::string("sign-method=RS256"),
        std::string("sign-method=HS256"), "sign-method=HS256,priv-key=" + file("empty.key"),
        "sign-method=HS256,pub-key=" + file("rsa.pub"), "sign-method=RS256,priv-key=" + file("nothing"),
        "sign-method=ES256,priv-key=" + file("rsa.key"), "sign-method=RS256,priv-key=" + file("rsa.pub"),
        "sign-method=RS256,priv-key=" + file("rsa.key") + ",pub-key=" + file("other.pub"),
        "sign-method=RS256,priv-key=" + file("rsa.key") + ",ttl=x",
        "sign-method=RS256,priv-key=" + file("rsa.key") + ",ttl=0s",
        "sign-method=RS256,priv-key=" + file("rsa.key") + ",more=1",
        "sign-method=RS256,sign-method=RS256,priv-key=" + file("rsa.key")}) {
    EXPECT_EQ(Jwt::make(bad).status().code(), Code::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace kv::server
