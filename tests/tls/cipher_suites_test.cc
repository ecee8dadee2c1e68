#include "tls/cipher_suites.h"

#include <gtest/gtest.h>

namespace kv::tls {
namespace {

TEST(CipherSuites, Names_of_Go_and_of_OpenSSL_mean_the_same) {
  const auto list = openssl_cipher_list({"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
                                         "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"});
  ASSERT_TRUE(list.ok()) << list.status().to_string();
  EXPECT_EQ(*list, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305");
}

TEST(CipherSuites, Unknown_and_weak_ones_are_named_and_refused) {
  for (const std::string name : {"TLS_MADE_UP", "TLS_RSA_WITH_RC4_128_SHA", "ALL", ""}) {
    const auto list = openssl_cipher_list({"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", name});
    ASSERT_FALSE(list.ok()) << name;
    EXPECT_EQ(list.status().text(), "unexpected TLS cipher suite \"" + name + "\"");
  }
}

}  // namespace
}  // namespace kv::tls
