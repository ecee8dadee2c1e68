// A directory and ports that belong to one test.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace kv::harness {

// A new directory under $TMPDIR (or /tmp), removed with everything in it when this goes, unless keep() was called.
class TempDir {
 public:
  explicit TempDir(const std::string& prefix = "kvd-test");
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void keep() { keep_ = true; }

 private:
  std::filesystem::path path_;
  bool keep_ = false;
};

// Ports on 127.0.0.1 which no other process that asks here gets until this goes. They lie below the range from
// which the kernel takes ports for outgoing connections, so that a daemon that is killed and started again finds
// its port free.
class Ports {
 public:
  explicit Ports(int count);
  ~Ports();
  Ports(const Ports&) = delete;
  Ports& operator=(const Ports&) = delete;

  uint16_t operator[](size_t i) const { return ports_.at(i); }

 private:
  std::vector<uint16_t> ports_;
  std::vector<int> locks_;  // a locked file per port; the lock goes with the process
};

}  // namespace kv::harness
