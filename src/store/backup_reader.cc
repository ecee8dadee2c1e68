#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "store/backup_layout.h"

namespace kv::store {

using namespace backup;

namespace {

// etcd's database begins with a page of bbolt's: its magic stands at offset 16.
constexpr size_t kBoltMagicOffset = 16;
constexpr uint32_t kBoltMagic = 0xED0CDAED;

Status disk_error(const std::string& path, const char* doing) {
  return {errno == ENOSPC || errno == EDQUOT ? Code::kResourceExhausted : Code::kInternal,
          std::string(doing) + " " + path + ": " + std::strerror(errno)};
}

Status write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return disk_error(path, "writing");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<BackupFile>> BackupFile::open(const std::string& path) {
  std::unique_ptr<BackupFile> file(new BackupFile());
  file->path_ = path;
  file->fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file->fd_ < 0)
    return Status(errno == ENOENT ? Code::kNotFound : Code::kInternal, path + ": " + std::strerror(errno));
  struct stat found {};
  if (::fstat(file->fd_, &found) != 0) return disk_error(path, "reading");
  if (!S_ISREG(found.st_mode)) return Status(Code::kInvalidArgument, path + " is not a file");
  file->size_bytes_ = static_cast<uint64_t>(found.st_size);
  KV_RETURN_IF_ERROR(file->read_head());
  return file;
}

BackupFile::~BackupFile() {
  if (fd_ >= 0) ::close(fd_);
}

Status BackupFile::damaged(uint64_t offset, const std::string& what) const {
  return {Code::kDataLoss, path_ + " is damaged at offset " + std::to_string(offset) + ": " + what};
}

Status BackupFile::read_at(uint64_t offset, size_t bytes, std::string* out) const {
  out->resize(bytes);
  for (size_t have = 0; have < bytes;) {
    const ssize_t n = ::pread(fd_, out->data() + have, bytes - have, static_cast<off_t>(offset + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return disk_error(path_, "reading");
    if (n == 0) return damaged(offset + have, "the file ends here");
    have += static_cast<size_t>(n);
  }
  return {};
}

Status BackupFile::read_head() {
  std::string head;
  KV_RETURN_IF_ERROR(read_at(0, static_cast<size_t>(std::min<uint64_t>(size_bytes_, kHeaderBytes)), &head));
  if (head.size() >= kBoltMagicOffset + 4 && load<uint32_t>(head, kBoltMagicOffset) == kBoltMagic) {
    return {Code::kInvalidArgument, path_ +
                                        " is a snapshot of etcd: kvd can't read its database. Restore it with etcd, "
                                        "and copy the keys over"};
  }
  const size_t magic = std::min(head.size(), kMagic.size());
  if (head.substr(0, magic) != kMagic.substr(0, magic) || magic == 0)
    return {Code::kInvalidArgument, path_ + " is not a backup of kvd"};
  if (head.size() < kHeaderBytes) return damaged(head.size(), "the file ends within its header");
  if (checksum(std::string_view(head).substr(0, kHeaderSummedBytes), kHeaderSeed) !=
      load<uint64_t>(head, kHeaderSummedBytes)) {
    return damaged(0, "the header does not match its checksum");
  }
  if (const auto version = load<uint32_t>(head, 8); version != kBackupVersion) {
    return {Code::kInvalidArgument, path_ + " has version " + std::to_string(version) +
                                        " of the format, and this program knows version " +
                                        std::to_string(kBackupVersion)};
  }
  const auto count = load<uint32_t>(head, 12);
  const auto size = load<uint64_t>(head, 16);
  const auto table_bytes = load<uint64_t>(head, 24);
  info_.cluster_id = load<uint64_t>(head, 32);
  info_.member_id = load<uint64_t>(head, 40);
  info_.applied_index = load<uint64_t>(head, 48);
  info_.applied_term = load<uint64_t>(head, 56);
  info_.revision = load<int64_t>(head, 64);
  info_.compact_revision = load<int64_t>(head, 72);
  info_.keys = load<uint64_t>(head, 80);
  info_.created_ms = load<int64_t>(head, 88);
  info_.storage_version = head.substr(96, kVersionTextBytes);
  info_.storage_version.resize(std::min(info_.storage_version.size(), info_.storage_version.find('\0')));
  // What a checksum can't tell is whether the writer was sane.
  if (count > kFilesMax) return damaged(12, "there can't be " + std::to_string(count) + " files");
  if (table_bytes > kTableMaxBytes || table_bytes < count * (kEntryHeadBytes + 1))
    return damaged(24, "the table of files can't have " + std::to_string(table_bytes) + " bytes");
  if (info_.revision < 1) return damaged(64, "there is no revision " + std::to_string(info_.revision));
  if (size_bytes_ < size)
    return damaged(size_bytes_, "the file ends here and should have " + std::to_string(size) + " bytes");
  if (size_bytes_ > size) return damaged(size, "the file should end here");
  return read_table(table_bytes, count, load<uint64_t>(head, kHeaderSummedBytes));
}

Status BackupFile::read_table(uint64_t table_bytes, uint64_t count, uint64_t seed) {
  if (kHeaderBytes + table_bytes + kSumBytes > size_bytes_)
    return damaged(24, "the table of files is larger than the file");
  std::string bytes;
  KV_RETURN_IF_ERROR(read_at(kHeaderBytes, static_cast<size_t>(table_bytes + kSumBytes), &bytes));
  const std::string_view table = std::string_view(bytes).substr(0, static_cast<size_t>(table_bytes));
  if (checksum(table, seed) != load<uint64_t>(bytes, table.size()))
    return damaged(kHeaderBytes, "the table of files does not match its checksum");
  size_t at = 0;
  uint64_t stored = kHeaderBytes + table_bytes + kSumBytes;
  std::set<std::string_view> names;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t here = kHeaderBytes + at;
    if (table.size() - at < kEntryHeadBytes) return damaged(here, "the table of files ends too early");
    BackupEntry file;
    file.bytes = load<uint64_t>(table, at);
    const size_t name_bytes = load<uint16_t>(table, at + 8);
    at += kEntryHeadBytes;
    if (table.size() - at < name_bytes) return damaged(here, "the table of files ends within a name");
    const std::string_view name = table.substr(at, name_bytes);
    at += name_bytes;
    if (!is_file_name(name)) return damaged(here, "a file has a name that no file of the state has");
    if (!names.insert(name).second) return damaged(here, std::string(name) + " is there twice");
    if (file.bytes > kFileMaxBytes)
      return damaged(here, std::string(name) + " can't have " + std::to_string(file.bytes) + " bytes");
    file.name = name;
    stored += stored_bytes(file);
    if (stored > size_bytes_) return damaged(here, std::string(name) + " is larger than the backup");
    files_.push_back(std::move(file));
  }
  if (at != table.size()) return damaged(kHeaderBytes + at, "the table of files is longer than its files");
  if (padded(stored) + kBackupSumBytes != size_bytes_)
    return damaged(16, "the files and the size of the backup contradict each other");
  pieces_begin_ = kHeaderBytes + table_bytes + kSumBytes;
  return {};
}

Status BackupFile::read_piece(const BackupEntry& file, uint64_t offset, size_t bytes, std::string* out) const {
  KV_RETURN_IF_ERROR(read_at(offset, bytes + kSumBytes, out));
  if (piece_checksum(std::string_view(*out).substr(0, bytes), offset) != load<uint64_t>(*out, bytes)) {
    return damaged(offset, "the " + std::to_string(bytes) + " bytes of " + file.name +
                               " that begin here do not match their checksum");
  }
  return {};
}

Status BackupFile::verify(bool check_sum) {
  Sha256 sha;
  std::string bytes;
  // Before the pieces; by now it has been looked at.
  for (uint64_t at = 0; at < pieces_begin_; at += bytes.size()) {
    KV_RETURN_IF_ERROR(
        read_at(at, static_cast<size_t>(std::min<uint64_t>(kBackupPieceBytes, pieces_begin_ - at)), &bytes));
    sha.add(bytes);
  }
  uint64_t offset = pieces_begin_;
  for (const BackupEntry& file : files_) {
    for (uint64_t at = 0; at < file.bytes; at += kBackupPieceBytes) {
      const size_t piece = piece_bytes(file, at);
      KV_RETURN_IF_ERROR(read_piece(file, offset, piece, &bytes));
      sha.add(bytes);
      offset += bytes.size();
    }
  }
  KV_RETURN_IF_ERROR(read_at(offset, static_cast<size_t>(size_bytes_ - kBackupSumBytes - offset), &bytes));
  if (const size_t bad = bytes.find_first_not_of('\0'); bad != std::string::npos)
    return damaged(offset + bad, "there should be zeros only");
  sha.add(bytes);
  const std::string computed = sha.sum();
  std::string stored;
  KV_RETURN_IF_ERROR(read_at(size_bytes_ - kBackupSumBytes, kBackupSumBytes, &stored));
  if (check_sum && stored != computed)
    return damaged(size_bytes_ - kBackupSumBytes, "the SHA-256 that stands here is not that of the bytes before it");
  hash_ = 0;
  for (int i = 0; i < 4; ++i) hash_ = hash_ << 8 | static_cast<unsigned char>(computed[static_cast<size_t>(i)]);
  return {};
}

Status BackupFile::extract(const std::string& directory) {
  uint64_t offset = pieces_begin_;
  std::string bytes;
  for (const BackupEntry& file : files_) {
    const std::string path = directory + "/" + file.name;
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return disk_error(path, "making");
    Status status;
    for (uint64_t at = 0; at < file.bytes && status.ok(); at += kBackupPieceBytes) {
      const size_t piece = piece_bytes(file, at);
      status = read_piece(file, offset, piece, &bytes);
      if (status.ok()) status = write_all(fd, std::string_view(bytes).substr(0, piece), path);
      offset += piece + kSumBytes;
    }
    if (status.ok() && ::fsync(fd) != 0) status = disk_error(path, "syncing");
    if (::close(fd) != 0 && status.ok()) status = disk_error(path, "closing");
    KV_RETURN_IF_ERROR(status);
  }
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return disk_error(directory, "opening");
  const bool synced = ::fsync(fd) == 0;
  Status status = synced ? Status() : disk_error(directory, "syncing");
  ::close(fd);
  return status;
}

}  // namespace kv::store
