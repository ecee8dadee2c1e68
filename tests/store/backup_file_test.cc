#include "store/backup_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/random.h"
#include "store/backup_layout.h"

namespace kv::store {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string read_file(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

std::string noise(size_t bytes, uint64_t seed) {
  Random random(seed);
  std::string out;
  while (out.size() < bytes) backup::append_u64(out, random.next());
  out.resize(bytes);
  return out;
}

const BackupInfo kInfo = {.cluster_id = 0xc1,
                          .member_id = 0x8e9e05c52164694d,
                          .applied_index = 1234,
                          .applied_term = 7,
                          .revision = 99,
                          .compact_revision = 50,
                          .keys = 41,
                          .created_ms = 1764000000000,
                          .storage_version = "3.6.0"};

class BackupFileTest : public testing::Test {
 protected:
  BackupFileTest() {
    std::string pattern = (fs::temp_directory_path() / "kvd_backup_XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    fs::create_directory(source());
    fs::create_directory(target());
  }
  ~BackupFileTest() override { fs::remove_all(root_); }

  std::string source() const { return root_ + "/source"; }
  std::string target() const { return root_ + "/target"; }
  std::string path() const { return root_ + "/backup"; }

  void add(const std::string& name, std::string_view bytes) { write_file(source() + "/" + name, bytes); }

  std::string encode(size_t step = 64 << 10) {
    auto encoder = BackupEncoder::open(source(), kInfo);
    EXPECT_TRUE(encoder.ok()) << encoder.status().to_string();
    const uint64_t size = (*encoder)->size_bytes();
    std::string all, part;
    do {
      const Status read = (*encoder)->read(step, &part);
      EXPECT_TRUE(read.ok()) << read.to_string();
      EXPECT_LE(part.size(), step);
      all += part;
      EXPECT_EQ((*encoder)->remaining_bytes(), size - all.size());
    } while (!part.empty());
    EXPECT_EQ(all.size(), size);
    return all;
  }

  // What comes of a file with these bytes: the first complaint.
  Status check(std::string_view bytes, bool check_sum = true) {
    write_file(path(), bytes);
    return check_file(check_sum);
  }
  // The same for the file that is there.
  Status check_file(bool check_sum = true) {
    auto file = BackupFile::open(path());
    if (!file.ok()) return file.status();
    return (*file)->verify(check_sum);
  }
  void poke(size_t at, char byte) {
    std::fstream file(path(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(byte);
  }

  std::string root_;
};

// The offset that a complaint names; -1: none.
int64_t offset_of(const Status& status) {
  const size_t at = status.text().find("damaged at offset ");
  if (status.code() != Code::kDataLoss || at == std::string::npos) return -1;
  return std::stoll(status.text().substr(at + 18));
}

TEST_F(BackupFileTest, Brings_back_files_of_every_length) {
  const std::vector<size_t> sizes = {
      0, 1, 511, kBackupPieceBytes - 1, kBackupPieceBytes, kBackupPieceBytes + 1, 3 * kBackupPieceBytes};
  std::map<std::string, std::string> contents;
  for (const size_t bytes : sizes) contents["F" + std::to_string(bytes) + ".sst"] = noise(bytes, bytes);
  for (const auto& [name, bytes] : contents) add(name, bytes);
  write_file(path(), encode());

  auto file = BackupFile::open(path());
  ASSERT_TRUE(file.ok()) << file.status().to_string();
  EXPECT_EQ((*file)->info(), kInfo);
  EXPECT_EQ((*file)->files().size(), sizes.size());
  EXPECT_TRUE((*file)->verify(true).ok());
  const Status extracted = (*file)->extract(target());
  ASSERT_TRUE(extracted.ok()) << extracted.to_string();
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::directory_iterator(target()))
    found[entry.path().filename()] = read_file(entry.path().string());
  EXPECT_TRUE(found == contents);
}

TEST_F(BackupFileTest, Is_the_same_bytes_however_it_is_read) {
  add("000007.sst", noise(kBackupPieceBytes + 77, 1));
  add("CURRENT", "MANIFEST-000005\n");
  const std::string all = encode(1 << 20);
  EXPECT_EQ(all, encode(7777));
  EXPECT_EQ(all, encode(32));
  EXPECT_EQ(all, encode(4 << 20));
}

TEST_F(BackupFileTest, Ends_as_etcds_clients_expect_it) {
  for (const size_t bytes : {0, 1, 300, 511, 512, 513, 5000}) {
    add("A", noise(bytes, bytes));
    const std::string all = encode();
    EXPECT_EQ(all.size() % 512, kBackupSumBytes);
    Sha256 sha;
    sha.add(std::string_view(all).substr(0, all.size() - kBackupSumBytes));
    EXPECT_EQ(all.substr(all.size() - kBackupSumBytes), sha.sum());
  }
}

TEST_F(BackupFileTest, Gives_the_sum_apart_from_all_else) {
  add("A", noise(5000, 1));
  auto encoder = BackupEncoder::open(source(), kInfo);
  std::string part;
  std::vector<size_t> parts;
  do {
    ASSERT_TRUE((*encoder)->read(1 << 20, &part).ok());
    parts.push_back(part.size());
  } while (!part.empty());
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[1], kBackupSumBytes);
}

TEST_F(BackupFileTest, Refuses_a_file_that_is_cut_short_anywhere) {
  add("000007.sst", noise(700, 1));
  add("CURRENT", "MANIFEST-000005\n");
  add("MANIFEST-000005", noise(100, 2));
  const std::string all = encode();
  write_file(path(), all);
  for (size_t cut = all.size() - 1; cut >= backup::kMagic.size(); --cut) {
    fs::resize_file(path(), cut);
    const Status status = check_file(false);
    ASSERT_EQ(offset_of(status), static_cast<int64_t>(cut)) << status.to_string();
  }
  EXPECT_EQ(check(all + "x").code(), Code::kDataLoss);
  EXPECT_EQ(offset_of(check(all + "x")), static_cast<int64_t>(all.size()));
}

TEST_F(BackupFileTest, Refuses_a_large_file_that_is_cut_at_a_pieces_border) {
  add("000007.sst", noise(3 * kBackupPieceBytes + 5, 1));
  const std::string all = encode();
  auto file = (write_file(path(), all), BackupFile::open(path()));
  ASSERT_TRUE(file.ok());
  const size_t first = all.size() - kBackupSumBytes - kBackupSumBytes;
  for (size_t cut = 1; cut < 4; ++cut) {
    const size_t border = 128 + 8 + 10 + 10 + cut * (kBackupPieceBytes + 8);
    ASSERT_LT(border, first);
    for (const size_t at : {border - 1, border, border + 1})
      EXPECT_EQ(offset_of(check(std::string_view(all).substr(0, at))), static_cast<int64_t>(at));
  }
}

// Every bit of every byte, and the place that is named is where the damaged part begins or within it.
TEST_F(BackupFileTest, Finds_every_flipped_bit_and_says_where) {
  add("000007.sst", noise(300, 1));
  add("CURRENT", "MANIFEST-000005\n");
  const std::string all = encode();
  const size_t table = 2 * backup::kEntryHeadBytes + 10 + 7;
  const std::vector<std::pair<size_t, size_t>> parts = {{0, 128},
                                                        {128, 128 + table + 8},
                                                        {128 + table + 8, 128 + table + 8 + 308},
                                                        {128 + table + 8 + 308, 128 + table + 8 + 308 + 24},
                                                        {128 + table + 8 + 308 + 24, all.size() - 32},
                                                        {all.size() - 32, all.size()}};
  write_file(path(), all);
  for (const auto& [begin, end] : parts) {
    for (size_t at = begin; at < end; ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        poke(at, static_cast<char>(all[at] ^ 1 << bit));
        const Status status = check_file();
        ASSERT_FALSE(status.ok()) << at;
        // Without the sum, all but the sum itself is still looked at.
        if (bit == 0) {
          ASSERT_EQ(check_file(false).ok(), at >= all.size() - 32) << at;
        }
        if (at < backup::kMagic.size()) continue;  // "is not a backup of kvd"
        const int64_t named = offset_of(status);
        ASSERT_TRUE(named >= static_cast<int64_t>(begin) && named < static_cast<int64_t>(end))
            << "bit " << bit << " of byte " << at << ": " << status.to_string();
      }
      poke(at, all[at]);
    }
  }
  EXPECT_TRUE(check_file().ok());
}

TEST_F(BackupFileTest, Names_the_file_in_which_the_damage_is) {
  add("000007.sst", noise(2 * kBackupPieceBytes, 1));
  add("000009.sst", noise(2 * kBackupPieceBytes, 2));
  std::string all = encode();
  const size_t second = 128 + 2 * 20 + 8 + 2 * (kBackupPieceBytes + 8);
  all[second + kBackupPieceBytes + 8 + 17] ^= 1;
  const Status status = check(all);
  EXPECT_EQ(offset_of(status), static_cast<int64_t>(second + kBackupPieceBytes + 8));
  EXPECT_THAT(status.text(), HasSubstr("000009.sst"));
}

TEST_F(BackupFileTest, Finds_two_pieces_that_changed_places) {
  add("000007.sst", noise(2 * kBackupPieceBytes, 1));
  const std::string all = encode();
  const size_t first = 128 + 20 + 8;
  const size_t piece = kBackupPieceBytes + 8;
  const std::string swapped = all.substr(0, first) + all.substr(first + piece, piece) + all.substr(first, piece) +
                              all.substr(first + 2 * piece);
  EXPECT_EQ(offset_of(check(swapped, false)), static_cast<int64_t>(first));
}

// A header and a table that somebody made with care: right checksums, wrong content.
class MadeBackup {
 public:
  MadeBackup& file(uint64_t bytes, std::string name) {
    backup::append_u64(table_, bytes);
    backup::append_u16(table_, static_cast<uint16_t>(name.size()));
    table_ += name;
    ++count;
    return *this;
  }
  std::string bytes() const {
    std::string out(backup::kMagic);
    backup::append_u32(out, version);
    backup::append_u32(out, count);
    backup::append_u64(out, size);
    backup::append_u64(out, table_bytes != 0 ? table_bytes : table_.size());
    for (int i = 0; i < 4; ++i) backup::append_u64(out, 1);
    backup::append_u64(out, static_cast<uint64_t>(revision));
    out.resize(backup::kHeaderSummedBytes, '\0');
    backup::append_u64(out, checksum(out, backup::kHeaderSeed));
    const uint64_t seed = backup::load<uint64_t>(out, backup::kHeaderSummedBytes);
    out += table_;
    backup::append_u64(out, checksum(table_, seed));
    out.resize(size, '\0');
    return out;
  }

  uint32_t version = kBackupVersion;
  uint32_t count = 0;
  uint64_t size = 1024 + 32;
  uint64_t table_bytes = 0;
  int64_t revision = 5;

 private:
  std::string table_;
};

TEST_F(BackupFileTest, Refuses_names_that_lead_out_of_the_directory) {
  for (const std::string& name : {std::string("../CURRENT"), std::string("/etc/passwd"), std::string("a/b"),
                                  std::string(".."), std::string("."), std::string(".hidden"), std::string("a\0b", 3),
                                  std::string("a b"), std::string("caf\xc3\xa9"), std::string()}) {
    MadeBackup made;
    made.file(10, name);
    made.table_bytes = backup::kEntryHeadBytes + name.size();
    const Status status = check(made.bytes());
    EXPECT_EQ(status.code(), Code::kDataLoss) << name << ": " << status.to_string();
    if (name.empty()) continue;
    EXPECT_EQ(offset_of(status), 128) << status.to_string();
  }
  EXPECT_THAT(check(MadeBackup().file(0, "A").file(0, "A").bytes()).text(), HasSubstr("A is there twice"));
}

TEST_F(BackupFileTest, Refuses_lengths_that_can_not_be) {
  EXPECT_THAT(check(MadeBackup().file(UINT64_MAX, "A").bytes()).text(), HasSubstr("offset 128: A can't have"));
  EXPECT_THAT(check(MadeBackup().file(uint64_t{1} << 50, "A").bytes()).text(),
              HasSubstr("A is larger than the backup"));
  EXPECT_THAT(check(MadeBackup().file(5000, "A").bytes()).text(), HasSubstr("A is larger than the backup"));
  EXPECT_THAT(check(MadeBackup().file(1, "A").bytes()).text(), HasSubstr("contradict each other"));
  MadeBackup many;
  many.count = UINT32_MAX;
  EXPECT_THAT(check(many.bytes()).text(), HasSubstr("offset 12: there can't be 4294967295 files"));
  MadeBackup table;
  table.table_bytes = uint64_t{1} << 60;
  EXPECT_THAT(check(table.bytes()).text(), HasSubstr("offset 24: the table of files can't have"));
  table.table_bytes = 1 << 20;
  EXPECT_THAT(check(table.bytes()).text(), HasSubstr("offset 24: the table of files is larger than the file"));
  MadeBackup long_table;
  long_table.file(0, "A").file(0, "B").count = 1;
  EXPECT_THAT(check(long_table.bytes()).text(), HasSubstr("longer than its files"));
  MadeBackup revision;
  revision.revision = 0;
  EXPECT_THAT(check(revision.bytes()).text(), HasSubstr("no revision 0"));
}

TEST_F(BackupFileTest, Says_what_else_a_file_is) {
  EXPECT_EQ(BackupFile::open(path()).status().code(), Code::kNotFound);
  EXPECT_THAT(check("").text(), HasSubstr("is not a backup of kvd"));
  EXPECT_THAT(check(noise(5000, 3)).text(), HasSubstr("is not a backup of kvd"));
  MadeBackup newer;
  newer.version = 2;
  const Status status = check(newer.bytes());
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.text(), HasSubstr("version 2 of the format"));
  std::string etcd(4096, '\0');
  etcd.replace(16, 4, "\xed\xda\x0c\xed");
  EXPECT_THAT(check(etcd).text(), HasSubstr("is a snapshot of etcd"));
  EXPECT_THAT(BackupFile::open(root_).status().text(), HasSubstr("is not a file"));
}

TEST_F(BackupFileTest, Takes_plain_files_only) {
  fs::create_directory(source() + "/sub");
  EXPECT_FALSE(BackupEncoder::open(source(), kInfo).ok());
}

TEST_F(BackupFileTest, Fails_when_a_file_gets_shorter_while_it_is_read) {
  add("A", noise(3 * kBackupPieceBytes, 1));
  auto encoder = BackupEncoder::open(source(), kInfo);
  std::string part;
  ASSERT_TRUE((*encoder)->read(100, &part).ok());
  fs::resize_file(source() + "/A", 10);
  Status status;
  for (int i = 0; i < 100 && status.ok() && !part.empty(); ++i) status = (*encoder)->read(1 << 20, &part);
  EXPECT_THAT(status.text(), HasSubstr("has become shorter"));
}

TEST_F(BackupFileTest, Extracts_nothing_over_what_is_there) {
  add("CURRENT", "new");
  write_file(path(), encode());
  write_file(target() + "/CURRENT", "old");
  auto file = BackupFile::open(path());
  ASSERT_TRUE(file.ok());
  EXPECT_FALSE((*file)->extract(target()).ok());
  EXPECT_EQ(read_file(target() + "/CURRENT"), "old");
}

}  // namespace
}  // namespace kv::store
