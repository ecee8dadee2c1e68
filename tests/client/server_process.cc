#include "client/server_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/check.h"

extern char** environ;

namespace kv::test {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

bool accepts(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  const bool ok = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return ok;
}

std::string read_all(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  KV_CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0, "no free port");
  KV_CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");
  ::close(fd);
  return ntohs(address.sin_port);
}

ServerProcess::ServerProcess(const std::string& binary, const std::vector<std::string>& extra,
                             const std::string& scheme)
    : binary_(binary) {
  char name[] = "/tmp/kv_client_test.XXXXXX";
  KV_CHECK(::mkdtemp(name) != nullptr, "no temporary directory");
  directory_ = name;
  data_dir_ = directory_ + "/data";
  const int client_port = free_port();
  const int peer_port = free_port();
  endpoint_ = "127.0.0.1:" + std::to_string(client_port);
  const std::string client_url = scheme + "://" + endpoint_;
  const std::string peer_url = "http://127.0.0.1:" + std::to_string(peer_port);
  std::vector<std::string> args = {binary_,
                                   "--name=m1",
                                   "--data-dir=" + data_dir_,
                                   "--listen-client-urls=" + client_url,
                                   "--advertise-client-urls=" + client_url,
                                   "--listen-peer-urls=" + peer_url,
                                   "--initial-advertise-peer-urls=" + peer_url,
                                   "--initial-cluster=m1=" + peer_url};
  args.insert(args.end(), extra.begin(), extra.end());
  std::vector<char*> argv;
  for (auto& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);

  const std::string log = directory_ + "/log";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  const int error = ::posix_spawnp(&pid_, binary_.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  KV_CHECK(error == 0, "can't start " + binary_);
  wait_until_it_listens();
}

void ServerProcess::wait_until_it_listens() {
  const int port = std::stoi(endpoint_.substr(endpoint_.find(':') + 1));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!accepts(port)) {
    int state = 0;
    KV_CHECK(::waitpid(pid_, &state, WNOHANG) == 0, binary_ + " has ended:\n" + read_all(directory_ + "/log"));
    KV_CHECK(std::chrono::steady_clock::now() < deadline,
             binary_ + " doesn't listen on " + endpoint_ + ":\n" + read_all(directory_ + "/log"));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));  // polls a condition that has no other sign
  }
}

void ServerProcess::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

ServerProcess::~ServerProcess() {
  kill();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

}  // namespace kv::test
