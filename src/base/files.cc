#include "base/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/checksum.h"

namespace kv {
namespace {

namespace fs = std::filesystem;

Status failed(const char* what, const std::string& path, int error) {
  return {error == ENOENT ? Code::kNotFound : Code::kInternal,
          std::string(what) + " " + path + ": " + std::strerror(error)};
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  // Closing may tell of an error that writing did not.
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

Status write_all(const Descriptor& file, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("writing", path, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

std::string parent_of(const std::string& path) {
  fs::path p(path);
  if (!p.has_filename()) p = p.parent_path();
  return p.has_parent_path() ? p.parent_path().string() : ".";
}

}  // namespace

Status sync_path(const std::string& path) {
  const Descriptor file(path, O_RDONLY);
  if (file.get() < 0) return failed("opening", path, errno);
  if (::fsync(file.get()) != 0) return failed("syncing", path, errno);
  return {};
}

Status sync_tree(const std::string& path) {
  std::error_code error;
  fs::recursive_directory_iterator it(path, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error))
    KV_RETURN_IF_ERROR(sync_path(it->path()));
  if (error) return failed("listing", path, error.value());
  KV_RETURN_IF_ERROR(sync_path(path));
  return sync_path(parent_of(path));
}

Status rename_durably(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return failed("renaming", from, errno);
  KV_RETURN_IF_ERROR(sync_path(parent_of(to)));
  return parent_of(from) == parent_of(to) ? Status() : sync_path(parent_of(from));
}

Status remove_durably(const std::string& path) {
  std::error_code error;
  if (fs::remove_all(path, error) == 0 && !error) return {};
  if (error) return failed("removing", path, error.value());
  return sync_path(parent_of(path));
}

Status write_file_durably(const std::string& path, std::string_view bytes) {
  const std::string unfinished = path + ".tmp";
  {
    Descriptor file(unfinished, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.get() < 0) return failed("making", unfinished, errno);
    KV_RETURN_IF_ERROR(write_all(file, unfinished, bytes));
    if (::fsync(file.get()) != 0) return failed("syncing", unfinished, errno);
    if (file.close() != 0) return failed("closing", unfinished, errno);
  }
  return rename_durably(unfinished, path);
}

Status read_file(const std::string& path, std::string* bytes) {
  const Descriptor file(path, O_RDONLY);
  if (file.get() < 0) return failed("opening", path, errno);
  bytes->clear();
  char buffer[16 << 10];
  while (true) {
    const ssize_t n = ::read(file.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("reading", path, errno);
    if (n == 0) return {};
    bytes->append(buffer, static_cast<size_t>(n));
  }
}

Status read_file_part(const std::string& path, uint64_t offset, size_t size, std::string* bytes) {
  const Descriptor file(path, O_RDONLY);
  if (file.get() < 0) return failed("opening", path, errno);
  bytes->resize(size);
  size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(file.get(), bytes->data() + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("reading", path, errno);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  bytes->resize(done);
  return {};
}

Status append_to_file(const std::string& path, std::string_view bytes) {
  Descriptor file(path, O_WRONLY | O_CREAT | O_APPEND);
  if (file.get() < 0) return failed("opening", path, errno);
  KV_RETURN_IF_ERROR(write_all(file, path, bytes));
  if (file.close() != 0) return failed("closing", path, errno);
  return {};
}

Status checksum_file(const std::string& path, uint64_t* sum) {
  const Descriptor file(path, O_RDONLY);
  if (file.get() < 0) return failed("opening", path, errno);
  Checksum running;
  std::string buffer(256 << 10, '\0');
  while (true) {
    const ssize_t n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("reading", path, errno);
    if (n == 0) break;
    running.add(std::string_view(buffer).substr(0, static_cast<size_t>(n)));
  }
  *sum = running.value();
  return {};
}

}  // namespace kv
