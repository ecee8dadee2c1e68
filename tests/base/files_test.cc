#include "base/files.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/checksum.h"

namespace kv {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  Files() {
    std::string pattern = (fs::temp_directory_path() / "kvd_files_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Files() override { fs::remove_all(path_); }

  std::string in(const std::string& name) const { return path_ + "/" + name; }
  std::string content(const std::string& name) const {
    std::string bytes;
    const Status read = read_file(in(name), &bytes);
    return read.ok() ? bytes : read.to_string();
  }

  std::string path_;
};

TEST_F(Files, What_is_written_is_read_and_nothing_else_is_left) {
  const std::string large(100'000, 'x');
  ASSERT_TRUE(write_file_durably(in("a"), large).ok());
  EXPECT_EQ(content("a"), large);
  ASSERT_TRUE(write_file_durably(in("a"), "short").ok());
  EXPECT_EQ(content("a"), "short");
  EXPECT_EQ(std::distance(fs::directory_iterator(path_), fs::directory_iterator()), 1);
}

TEST_F(Files, A_rename_replaces_a_file_and_no_directory_that_holds_something) {
  ASSERT_TRUE(write_file_durably(in("a"), "1").ok());
  ASSERT_TRUE(write_file_durably(in("b"), "2").ok());
  ASSERT_TRUE(rename_durably(in("a"), in("b")).ok());
  EXPECT_EQ(content("b"), "1");
  EXPECT_FALSE(fs::exists(in("a")));
  fs::create_directories(in("full/inner"));
  fs::create_directories(in("other"));
  EXPECT_FALSE(rename_durably(in("other"), in("full")).ok());
  EXPECT_TRUE(fs::exists(in("full/inner")));
}

TEST_F(Files, Removing_takes_all_below_and_nothing_is_no_error) {
  fs::create_directories(in("a/b/c"));
  ASSERT_TRUE(write_file_durably(in("a/b/file"), "1").ok());
  ASSERT_TRUE(sync_tree(in("a")).ok());
  EXPECT_TRUE(remove_durably(in("a")).ok());
  EXPECT_FALSE(fs::exists(in("a")));
  EXPECT_TRUE(remove_durably(in("a")).ok());
}

TEST_F(Files, Parts_of_a_file_are_read_and_added) {
  ASSERT_TRUE(append_to_file(in("a"), "hello").ok());
  ASSERT_TRUE(append_to_file(in("a"), " world").ok());
  std::string bytes;
  ASSERT_TRUE(read_file_part(in("a"), 6, 3, &bytes).ok());
  EXPECT_EQ(bytes, "wor");
  ASSERT_TRUE(read_file_part(in("a"), 6, 100, &bytes).ok());
  EXPECT_EQ(bytes, "world");
  ASSERT_TRUE(read_file_part(in("a"), 100, 100, &bytes).ok());
  EXPECT_EQ(bytes, "");
}

TEST_F(Files, The_checksum_of_a_file_is_that_of_its_bytes) {
  const std::string large(1'000'001, 'x');
  ASSERT_TRUE(write_file_durably(in("a"), large).ok());
  ASSERT_TRUE(write_file_durably(in("empty"), "").ok());
  uint64_t sum = 0;
  ASSERT_TRUE(checksum_file(in("a"), &sum).ok());
  EXPECT_EQ(sum, checksum(large));
  ASSERT_TRUE(checksum_file(in("empty"), &sum).ok());
  EXPECT_EQ(sum, checksum(""));
}

TEST_F(Files, What_is_not_there_is_NotFound) {
  std::string bytes;
  EXPECT_EQ(read_file(in("none"), &bytes).code(), Code::kNotFound);
  EXPECT_EQ(sync_path(in("none")).code(), Code::kNotFound);
  EXPECT_EQ(sync_tree(in("none")).code(), Code::kNotFound);
  EXPECT_EQ(rename_durably(in("none"), in("b")).code(), Code::kNotFound);
  EXPECT_EQ(write_file_durably(in("no/such"), "x").code(), Code::kNotFound);
}

}  // namespace
}  // namespace kv
