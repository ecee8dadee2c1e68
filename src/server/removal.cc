#include "server/removal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/log.h"

namespace kv::server {
namespace {

std::string note_path(const std::string& data_dir) { return data_dir + "/REMOVED"; }

bool write_durably(const std::string& path, std::string text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  text += '\n';
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  ::close(fd);
  return written;
}

// A new file is there after a crash only when its directory is on disk too.
bool sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool synced = ::fsync(fd) == 0;
  ::close(fd);
  return synced;
}

}  // namespace

Status removed_from_cluster(uint64_t member, uint64_t cluster, const std::string& data_dir, const std::string& how) {
  return {Code::kFailedPrecondition,
          "member " + hex_id(member) + " was removed from cluster " + hex_id(cluster) + " (" + how +
              ") and stops. It can't take part under this id again: to bring it back, delete " + data_dir +
              ", add it as a new member (kvctl member add) and start it with --initial-cluster-state=existing"};
}

void leave_removal_note(const std::string& data_dir, const Status& status) {
  if (!write_durably(note_path(data_dir), status.text()) || !sync_directory(data_dir))
    log_error("can't note in the data directory that this member was removed", {{"why", std::strerror(errno)}});
}

std::optional<Status> removal_note(const std::string& data_dir) {
  std::ifstream file(note_path(data_dir));
  if (!file) return std::nullopt;
  std::string text;
  std::getline(file, text);
  if (text.empty()) text = "this member was removed from its cluster";
  return Status(Code::kFailedPrecondition, text);
}

void delete_removal_note(const std::string& data_dir) {
  ::unlink(note_path(data_dir).c_str());
  (void)sync_directory(data_dir);
}

}  // namespace kv::server
