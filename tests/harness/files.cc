#include "harness/files.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <random>

#include "base/check.h"

namespace kv::harness {
namespace {

constexpr uint16_t kFirstPort = 10000;
constexpr uint16_t kLastPort = 31999;
constexpr int kTries = 1000;

bool bindable(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  KV_CHECK(fd >= 0, "socket() failed");
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool ok = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return ok;
}

// The file descriptor that holds the lock of `port`, or -1 when somebody else has it.
int lock_port(uint16_t port) {
  const std::filesystem::path dir = std::filesystem::temp_directory_path() / "kvd-test-ports";
  std::error_code ignored;
  if (std::filesystem::create_directory(dir, ignored)) {
    std::filesystem::permissions(dir, std::filesystem::perms::all, ignored);
  }
  const int fd = open((dir / std::to_string(port)).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return -1;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  close(fd);
  return -1;
}

}  // namespace

TempDir::TempDir(const std::string& prefix) {
  std::string pattern = (std::filesystem::temp_directory_path() / (prefix + "-XXXXXX")).string();
  KV_CHECK(mkdtemp(pattern.data()) != nullptr, "can't make a directory " + pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  if (keep_) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Ports::Ports(int count) {
  std::random_device device;
  std::uniform_int_distribution<int> any(kFirstPort, kLastPort);
  for (int tries = 0; static_cast<int>(ports_.size()) < count; ++tries) {
    KV_CHECK(tries < kTries, "no free port");
    const auto port = static_cast<uint16_t>(any(device));
    if (port == 22379 || port == 22380) continue;  // scripts/up's
    const int lock = lock_port(port);
    if (lock < 0) continue;
    if (!bindable(port)) {
      close(lock);
      continue;
    }
    ports_.push_back(port);
    locks_.push_back(lock);
  }
}

Ports::~Ports() {
  for (const int fd : locks_) close(fd);
}

}  // namespace kv::harness
