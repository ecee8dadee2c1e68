#include "tls/self_signed.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tls/authority.h"
#include "tls/context.h"
#include "tls/pair.h"

namespace kv::tls {
namespace {

mode_t mode_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

TEST(SelfSigned, Is_kept_where_only_its_owner_can_read_it) {
  const test::ScratchDirectory scratch;
  const mode_t before = ::umask(0);  // the widest: modes must be ours, not the shell's
  const auto files = self_signed_files(scratch.path() + "/data/fixtures/client", {"localhost"}, 1);
  ::umask(before);
  ASSERT_TRUE(files.ok()) << files.status().to_string();
  EXPECT_EQ(mode_of(scratch.path() + "/data"), 0700u);
  EXPECT_EQ(mode_of(scratch.path() + "/data/fixtures"), 0700u);
  EXPECT_EQ(mode_of(scratch.path() + "/data/fixtures/client"), 0700u);
  EXPECT_EQ(mode_of(files->key_file), 0600u);
}

TEST(SelfSigned, Is_good_for_its_hosts_when_it_is_trusted_itself) {
  const test::ScratchDirectory scratch;
  const auto files = self_signed_files(scratch.path() + "/peer", {"127.0.0.1", "::1", "node.example"}, 2);
  ASSERT_TRUE(files.ok()) << files.status().to_string();
  Options options;
  options.cert_file = files->cert_file;
  options.key_file = files->key_file;
  options.trusted_ca_file = files->cert_file;
  options.client_cert_auth = true;
  auto context = *Context::create(options, "test");
  for (const auto& [host, good] :
       {std::pair{"127.0.0.1", true}, {"::1", true}, {"node.example", true}, {"elsewhere.example", false}}) {
    test::StreamPair pair(*context, *context, host);
    EXPECT_EQ(pair.shake_hands(), good) << host << ": " << pair.dialled->failure();
  }
}

TEST(SelfSigned, What_is_there_is_taken_unless_it_is_no_good) {
  const test::ScratchDirectory scratch;
  const std::string directory = scratch.path() + "/client";
  const auto first = self_signed_files(directory, {"localhost"}, 1);
  ASSERT_TRUE(first.ok());
  const std::string certificate = test::read_text(first->cert_file);
  ASSERT_TRUE(self_signed_files(directory, {"other"}, 1).ok());
  EXPECT_EQ(test::read_text(first->cert_file), certificate);

  test::Authority ca(scratch.path(), "ca");
  const auto expired = ca.issue("expired", {.begins_in_s = -7200, .ends_in_s = -3600});
  test::write_text(first->cert_file, test::read_text(expired.cert_file));
  test::write_text(first->key_file, test::read_text(expired.key_file));
  ASSERT_TRUE(self_signed_files(directory, {"localhost"}, 1).ok());
  EXPECT_NE(test::read_text(first->cert_file), test::read_text(expired.cert_file));
  EXPECT_NE(test::read_text(first->key_file), test::read_text(expired.key_file));
}

TEST(SelfSigned, A_directory_that_cannot_be_made_is_an_error_that_names_it) {
  const test::ScratchDirectory scratch;
  test::write_text(scratch.path() + "/file", "");
  const auto files = self_signed_files(scratch.path() + "/file/client", {"localhost"}, 1);
  ASSERT_FALSE(files.ok());
  EXPECT_NE(files.status().text().find("/file/client: Not a directory"), std::string::npos) << files.status().text();
}

}  // namespace
}  // namespace kv::tls
