// A server process for a test: one member on free ports of 127.0.0.1, its data in a temporary directory, killed and
// cleaned up by the destructor.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace kv::test {

class ServerProcess {
 public:
  // Starts `binary` (etcd or kvd: the flags are the same) and waits until it answers; aborts the test if it doesn't
  // within 30 seconds. `extra` are further flags; `scheme` is that of the client URL.
  explicit ServerProcess(const std::string& binary, const std::vector<std::string>& extra = {},
                         const std::string& scheme = "http");
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // 127.0.0.1:port
  const std::string& endpoint() const { return endpoint_; }
  const std::string& data_dir() const { return data_dir_; }

  void kill();

 private:
  void wait_until_it_listens();

  std::string binary_;
  std::string directory_;
  std::string data_dir_;
  std::string endpoint_;
  pid_t pid_ = -1;
};

// A port of 127.0.0.1 that nothing listens on right now.
int free_port();

}  // namespace kv::test
