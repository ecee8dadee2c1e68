// A disk that is slower than the network, for tests: preloaded into kvctl (LD_PRELOAD), it lets a file whose name ends
// with ".part" be written at 64 MB a second and no faster.
#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <thread>

namespace {

constexpr double kBytesPerSecond = 64e6;

bool is_slow(int fd) {
  char link[64], path[4096];
  const int saved = errno;
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, path, sizeof path);
  errno = saved;
  return n > 0 && std::string_view(path, static_cast<size_t>(n)).ends_with(".part");
}

}  // namespace

extern "C" ssize_t write(int fd, const void* data, size_t size) {
  static auto* const real = reinterpret_cast<ssize_t (*)(int, const void*, size_t)>(dlsym(RTLD_NEXT, "write"));
  if (is_slow(fd))
    std::this_thread::sleep_for(std::chrono::duration<double>(static_cast<double>(size) / kBytesPerSecond));
  return real(fd, data, size);
}
