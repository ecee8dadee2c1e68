#include "store/waypoints.h"

#include "base/checksum.h"
#include "base/random.h"

namespace kv::store {
namespace {

constexpr size_t kHashSize = 8;

std::string hash_of(std::string_view key) {
  const uint64_t hash = checksum(key);
  return {reinterpret_cast<const char*>(&hash), kHashSize};
}

}  // namespace

bool has_waypoint(Rev rev) {
  return Random(static_cast<uint64_t>(rev.main) ^ (static_cast<uint64_t>(rev.sub) << 40)).one_in(kStepsPerWaypoint);
}

std::string waypoint_key(std::string_view key, Rev rev) { return hash_of(key) + history_key(rev); }

bool decode_waypoint_key(std::string_view bytes, std::string_view key, Rev* rev) {
  return bytes.starts_with(hash_of(key)) && decode_history_key(bytes.substr(kHashSize), rev);
}

bool WaypointFilter::Filter(int, const rocksdb::Slice& key, const rocksdb::Slice&, std::string*, bool*) const {
  Rev rev;
  return key.size() > kHashSize && decode_history_key({key.data() + kHashSize, key.size() - kHashSize}, &rev) &&
         rev.main < below_.load(std::memory_order_relaxed);
}

}  // namespace kv::store
