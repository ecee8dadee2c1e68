#include "disk_wait.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/log.h"
#include "server/space_guard.h"

namespace kvd {
namespace {

constexpr uint64_t kLeastBytes = 1 << 20;

// Of the directory, or, when it is not made yet, of the nearest one above it.
std::optional<kv::server::DiskRoom> room_for(const std::string& data_dir) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(data_dir, error);
  while (!error && !std::filesystem::exists(path, error) && path.has_relative_path()) path = path.parent_path();
  return error ? std::nullopt : kv::server::disk_room(path);
}

}  // namespace

int wait_for_room(const std::string& data_dir, int64_t min_free_bytes, const sigset_t& stop_signals) {
  for (bool told = false;; told = true) {
    const auto room = room_for(data_dir);
    if (!room || room->total_bytes == 0) return 0;
    const uint64_t reserve = min_free_bytes >= 0 ? static_cast<uint64_t>(min_free_bytes)
                                                 : kv::server::default_reserve_bytes(room->total_bytes);
    const uint64_t needed = std::max(kLeastBytes, reserve / 2);
    if (room->free_bytes >= needed) {
      if (told) kv::log_info("the disk has room again", {{"data_dir", data_dir}, {"free_bytes", room->free_bytes}});
      return 0;
    }
    if (!told) {
      kv::log_error("the disk is full: waiting for room before this member begins",
                    {{"data_dir", data_dir}, {"free_bytes", room->free_bytes}, {"needed_bytes", needed}});
    }
    const timespec second{.tv_sec = 1, .tv_nsec = 0};
    if (const int signal = sigtimedwait(&stop_signals, nullptr, &second); signal > 0) return signal;
  }
}

void begin_anew(char* const* argv) {
  sleep(1);
  // What the old process has open must not live on in the new one: ports, and locks on the data directory.
  if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
    for (int fd = 3; fd < 1 << 16; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  execv("/proc/self/exe", argv);
  std::perror("kvd: cannot begin anew");
  std::_Exit(1);
}

}  // namespace kvd
