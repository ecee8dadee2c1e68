// A disk that fails, for tests: preloaded into a process (LD_PRELOAD), it answers EIO to calls on files below a
// directory named "log" or "state", while the file named by KVD_TEST_FAULT exists. Its first word says which calls:
// "sync" or "write".
#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool is_fault(int fd, const char* kind) {
  const char* trigger = std::getenv("KVD_TEST_FAULT");
  if (trigger == nullptr) return false;
  const int saved = errno;
  char word[16] = "", link[64], path[4096];
  if (FILE* file = std::fopen(trigger, "r")) {
    if (std::fscanf(file, "%15s", word) != 1) word[0] = 0;
    std::fclose(file);
  }
  bool fault = false;
  if (std::strcmp(word, kind) == 0) {
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (n > 0) {
      path[n] = 0;
      fault = std::strstr(path, "/log/") != nullptr || std::strstr(path, "/state/") != nullptr;
    }
  }
  errno = fault ? EIO : saved;
  return fault;
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int fsync(int fd) { return is_fault(fd, "sync") ? -1 : next<int(int)>("fsync")(fd); }
int fdatasync(int fd) { return is_fault(fd, "sync") ? -1 : next<int(int)>("fdatasync")(fd); }
int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned flags) {
  if (is_fault(fd, "sync")) return -1;
  return next<int(int, off64_t, off64_t, unsigned)>("sync_file_range")(fd, offset, bytes, flags);
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  return is_fault(fd, "write") ? -1 : next<ssize_t(int, const void*, size_t, off_t)>("pwrite")(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  return is_fault(fd, "write") ? -1 : next<ssize_t(int, const void*, size_t, off64_t)>("pwrite64")(fd, data, size, at);
}

}  // extern "C"
