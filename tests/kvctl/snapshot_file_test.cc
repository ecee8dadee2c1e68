#include "kvctl/snapshot_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "kvctl/progress.h"

namespace kv::kvctl {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class SnapshotFileTest : public testing::Test {
 protected:
  SnapshotFileTest() {
    std::string pattern = (fs::temp_directory_path() / "kvctl_snapshot_XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  ~SnapshotFileTest() override { fs::remove_all(root_); }

  std::string path() const { return root_ + "/backup.db"; }
  std::string part() const { return path() + ".part"; }
  std::string content() const {
    std::ostringstream out;
    out << std::ifstream(path(), std::ios::binary).rdbuf();
    return out.str();
  }

  // 1024 bytes and their sum.
  static std::string whole() {
    std::string bytes(1024, 'x');
    store::Sha256 sha;
    sha.add(bytes);
    return bytes + sha.sum();
  }

  std::string root_;
};

TEST_F(SnapshotFileTest, Gets_its_name_when_it_is_complete) {
  for (const size_t step : {1, 7, 31, 32, 33, 1000, 2000}) {
    SnapshotFile file(path());
    ASSERT_TRUE(file.open().ok());
    for (size_t at = 0; at < whole().size(); at += step) ASSERT_TRUE(file.add(whole().substr(at, step)).ok());
    EXPECT_TRUE(fs::exists(part()));
    const Status done = file.finish();
    ASSERT_TRUE(done.ok()) << done.to_string();
    EXPECT_FALSE(fs::exists(part()));
    EXPECT_EQ(content(), whole());
  }
}

TEST_F(SnapshotFileTest, Is_gone_when_it_was_cut_short_or_changed_and_an_older_one_stays) {
  std::ofstream(path()) << "older";
  {
    SnapshotFile file(path());
    ASSERT_TRUE(file.open().ok());
    ASSERT_TRUE(file.add(whole().substr(0, 1000)).ok());
    EXPECT_EQ(file.finish().text(), "sha256 checksum not found [bytes: 1000]");
  }
  EXPECT_FALSE(fs::exists(part()));
  {
    SnapshotFile file(path());
    ASSERT_TRUE(file.open().ok());
    std::string bad = whole();
    bad[500] ^= 1;
    ASSERT_TRUE(file.add(bad).ok());
    EXPECT_THAT(file.finish().text(), HasSubstr("does not match its SHA-256"));
  }
  EXPECT_FALSE(fs::exists(part()));
  EXPECT_EQ(content(), "older");
}

TEST_F(SnapshotFileTest, Is_left_to_the_process_that_writes_it) {
  SnapshotFile first(path());
  ASSERT_TRUE(first.open().ok());
  ASSERT_TRUE(first.add(whole()).ok());
  {
    SnapshotFile second(path());
    EXPECT_EQ(second.open().code(), Code::kFailedPrecondition);
  }
  EXPECT_TRUE(fs::exists(part()));
  EXPECT_TRUE(first.finish().ok());
}

TEST_F(SnapshotFileTest, Can_not_be_where_no_directory_is) {
  SnapshotFile file(root_ + "/none/backup.db");
  EXPECT_THAT(file.open().text(), HasSubstr("could not open"));
}

TEST(ProgressTest, A_bar_tells_how_far_it_is) {
  using std::chrono::seconds;
  EXPECT_EQ(Progress::bar(0, 1'000'000, seconds(0)), "[>                             ]   0%  0 B of 1.0 MB");
  EXPECT_EQ(Progress::bar(500'000, 1'000'000, seconds(2)),
            "[===============>              ]  50%  500 kB of 1.0 MB, 250 kB/s");
  EXPECT_EQ(Progress::bar(1'000'000, 1'000'000, seconds(1)),
            "[==============================] 100%  1.0 MB of 1.0 MB, 1.0 MB/s");
  // Of nothing, all is there.
  EXPECT_THAT(Progress::bar(0, 0, seconds(1)), HasSubstr("100%"));
}

TEST(ProgressTest, Draws_over_itself_on_a_terminal_and_nowhere_else) {
  std::ostringstream terminal;
  {
    Progress progress(terminal, true, "Fetching");
    progress.show(0, 1000);
  }
  EXPECT_EQ(terminal.str().front(), '\r');
  EXPECT_EQ(terminal.str().back(), '\r') << "and wipes itself away";
  EXPECT_EQ(terminal.str().find('\n'), std::string::npos);
  std::ostringstream file;
  {
    Progress progress(file, false, "Fetching");
    for (uint64_t done = 0; done < 1000; ++done) progress.show(done, 1000);
  }
  EXPECT_EQ(file.str(), "Fetching 1.0 kB\n") << "the next line comes ten seconds later";
}

}  // namespace
}  // namespace kv::kvctl
