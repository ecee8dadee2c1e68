// The checksum of what kvd writes to its log or sends to a peer: XXH3, 64 bits. It finds damage, not malice. `seed`
// ties a record to its place (its index, say), so that a record that is whole but in the wrong place is found too.
#pragma once

#include <cstdint>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace kv {

inline uint64_t checksum(std::string_view bytes, uint64_t seed = 0) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

// The same of bytes that come in parts.
class Checksum {
 public:
  Checksum() { XXH3_64bits_reset(&state_); }
  void add(std::string_view bytes) { XXH3_64bits_update(&state_, bytes.data(), bytes.size()); }
  uint64_t value() const { return XXH3_64bits_digest(&state_); }

 private:
  XXH3_state_t state_;
};

}  // namespace kv
