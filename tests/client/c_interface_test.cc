// Runs what is written in C, against a member of its own.
#include "client/c_interface.h"

#include <gtest/gtest.h>

#include "client/embedded.h"
#include "tls/authority.h"

namespace kv::client {
namespace {

class ClientC : public Embedded {
 protected:
  static void expect_null(const char* (*test)(const char*)) {
    const char* failure = test(server_->endpoint().c_str());
    EXPECT_EQ(failure, nullptr) << failure;
  }
};

TEST_F(ClientC, Keys_are_put_found_and_deleted) { expect_null(c_keys); }
TEST_F(ClientC, Compare_and_swap_tells_what_was_there_instead) { expect_null(c_compare); }
TEST_F(ClientC, Watch_sees_changes_and_can_be_stopped) { expect_null(c_watch); }
TEST_F(ClientC, Lease_is_kept_alive_until_it_is_lost) { expect_null(c_lease); }
TEST_F(ClientC, Errors_are_codes_and_texts_and_null_is_no_crash) { expect_null(c_errors); }

TEST_F(ClientC, Options_of_other_releases_are_understood_or_refused) { expect_null(c_options); }

TEST_F(ClientC, Server_is_believed_by_the_name_that_is_expected) {
  const test::ScratchDirectory files;
  test::Authority authority(files.path(), "ca");
  const auto issued = authority.issue("server", {.hosts = {"kvd.example"}});
  const auto server =
      Server::start({.client_url = "https://127.0.0.1:0",
                     .client_tls = {.cert_file = issued.cert_file, .key_file = issued.key_file},
                     .unsafe_no_fsync = true});
  ASSERT_TRUE(server.ok()) << server.status().to_string();
  const char* failure = c_tls((*server)->endpoint().c_str(), authority.ca_file().c_str());
  EXPECT_EQ(failure, nullptr) << failure;
}

TEST_F(ClientC, Watch_whose_history_is_gone_says_so) {
  while (client_->put(key("x"), "y")->header.revision < 4) {
  }
  ASSERT_TRUE(client_->compact(3).ok());
  expect_null(c_watch_compacted);
}

}  // namespace
}  // namespace kv::client
