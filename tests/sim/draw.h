// Small draws from a seeded generator that several parts of the simulator share.
#pragma once

#include <cstdint>

#include "base/random.h"

namespace kv::sim {

// A number between two bounds, both included.
struct Range {
  uint64_t min = 0;
  uint64_t max = 0;

  uint64_t draw(Random& random) const { return min + random.below(max - min + 1); }
};

// True with a probability of `ppm` in a million.
inline bool chance(Random& random, uint64_t ppm) { return ppm > 0 && random.below(1'000'000) < ppm; }

// A waiting time around `mean`: short ones are common, long ones happen.
inline uint64_t around(Random& random, uint64_t mean) {
  const uint64_t stretch = random.one_in(8) ? 4 : 1;
  return 1 + random.below(2 * mean * stretch);
}

// Mixes a number into a hash.
inline uint64_t mix(uint64_t hash, uint64_t value) {
  hash ^= value + 0x9e3779b97f4a7c15ULL + (hash << 6) + (hash >> 2);
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93ULL;
  return hash ^ (hash >> 32);
}

// A seed of its own for each part of a run. (Random's states are numbers on a line: seeds that are close together,
// or a constant step apart, must not become states that are.)
inline uint64_t seed_for(uint64_t seed, uint64_t part) { return mix(mix(0x6b7664, seed), part); }

}  // namespace kv::sim
