#include "server/space_guard.h"

#include <sys/statvfs.h>

#include <algorithm>

namespace kv::server {
namespace {

constexpr uint64_t kReserveBytes = 256 << 20;

}  // namespace

std::optional<DiskRoom> disk_room(const std::string& path) {
  struct statvfs found {};
  if (statvfs(path.c_str(), &found) != 0) return std::nullopt;
  const uint64_t block = found.f_frsize != 0 ? found.f_frsize : found.f_bsize;
  return DiskRoom{found.f_bavail * block, found.f_blocks * block};
}

uint64_t default_reserve_bytes(uint64_t disk_bytes) { return std::min(kReserveBytes, disk_bytes / 20); }

void SpaceGuard::measure(int64_t now_ms) {
  // Whoever comes while another measures takes the numbers that there are.
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  const StateSize state = ports_.state();
  admitted_.store(0, std::memory_order_relaxed);
  if (options_.quota_bytes > 0) {
    quota_left_.store(options_.quota_bytes - static_cast<int64_t>(state.bytes), std::memory_order_relaxed);
  }
  if (options_.min_free_bytes != 0) {
    // A file system that can't say how full it is can't be guarded.
    if (const auto room = ports_.disk(); room && room->total_bytes > 0) {
      const uint64_t reserve = options_.min_free_bytes > 0 ? static_cast<uint64_t>(options_.min_free_bytes)
                                                           : default_reserve_bytes(room->total_bytes);
      free_bytes_.store(room->free_bytes, std::memory_order_relaxed);
      reserve_bytes_.store(reserve, std::memory_order_relaxed);
      disk_left_.store(static_cast<int64_t>(room->free_bytes) - static_cast<int64_t>(state.in_memory + reserve),
                       std::memory_order_relaxed);
    }
  }
  measured_ms_.store(now_ms, std::memory_order_relaxed);
}

SpaceGuard::Verdict SpaceGuard::verdict(int64_t cost) const {
  const int64_t admitted = admitted_.load(std::memory_order_relaxed) + cost;
  if (admitted >= quota_left_.load(std::memory_order_relaxed)) return Verdict::kQuota;
  if (admitted * kDiskBytesPerByte >= disk_left_.load(std::memory_order_relaxed)) return Verdict::kDisk;
  return Verdict::kRoom;
}

SpaceGuard::Verdict SpaceGuard::ask(size_t cost) {
  if (cost == 0 || (options_.quota_bytes <= 0 && options_.min_free_bytes == 0)) return Verdict::kRoom;
  const int64_t bytes = static_cast<int64_t>(cost);
  const int64_t now_ms = ports_.clock->monotonic_ms();
  const bool fresh = now_ms - measured_ms_.load(std::memory_order_relaxed) < kFreshMs;
  if (!fresh || verdict(bytes) != Verdict::kRoom) measure(now_ms);
  const Verdict answer = verdict(bytes);
  if (answer == Verdict::kRoom) admitted_.fetch_add(bytes, std::memory_order_relaxed);
  return answer;
}

SpaceGuard::Verdict SpaceGuard::look() {
  measure(ports_.clock->monotonic_ms());
  return verdict(0);
}

bool SpaceGuard::disk_is_well() const {
  const int64_t reserve = static_cast<int64_t>(reserve_bytes_.load(std::memory_order_relaxed));
  return disk_left_.load(std::memory_order_relaxed) >= reserve / 2;
}

}  // namespace kv::server
