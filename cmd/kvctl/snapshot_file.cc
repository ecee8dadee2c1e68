#include "kvctl/snapshot_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/files.h"

namespace kv::kvctl {
namespace {

// etcd's rule, too: a database is a multiple of a disk's sector, and the sum comes on top.
constexpr uint64_t kSectorBytes = 512;

}  // namespace

SnapshotFile::~SnapshotFile() {
  if (fd_ < 0) return;
  if (!finished_) ::unlink(part().c_str());
  ::close(fd_);
}

Status SnapshotFile::error(const char* doing) const {
  return {Code::kInternal, std::string("could not ") + doing + " " + part() + " (" + std::strerror(errno) + ")"};
}

Status SnapshotFile::open() {
  const int fd = ::open(part().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return error("open");
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return {Code::kFailedPrecondition, "another process is writing " + part()};
  }
  fd_ = fd;
  return ::ftruncate(fd_, 0) == 0 ? Status() : error("truncate");
}

Status SnapshotFile::add(std::string_view bytes) {
  bytes_ += bytes.size();
  last_ += bytes;
  if (last_.size() > store::kBackupSumBytes) {
    const size_t sure = last_.size() - store::kBackupSumBytes;
    sha_.add(std::string_view(last_).substr(0, sure));
    last_.erase(0, sure);
  }
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error("write");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status SnapshotFile::finish() {
  if (bytes_ % kSectorBytes != store::kBackupSumBytes)
    return {Code::kDataLoss, "sha256 checksum not found [bytes: " + std::to_string(bytes_) + "]"};
  if (sha_.sum() != last_)
    return {Code::kDataLoss, "what arrived does not match its SHA-256 [bytes: " + std::to_string(bytes_) + "]"};
  if (::fsync(fd_) != 0) return error("fsync");
  KV_RETURN_IF_ERROR(rename_durably(part(), path_));
  finished_ = true;
  return {};
}

}  // namespace kv::kvctl
