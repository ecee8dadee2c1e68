// A small seeded generator (SplitMix64; Steele, Lea, Flood 2014). The same seed gives the same numbers on every
// machine and compiler, which std's distributions don't promise: simulations are replayed by seed.
#pragma once

#include <cstdint>

namespace kv {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  // A number in [0, bound); `bound` > 0. The bias is below 2^-32 for the small bounds that are used here.
  uint64_t below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }

  // True once in `n` times.
  bool one_in(uint64_t n) { return below(n) == 0; }

 private:
  __extension__ using Wide = unsigned __int128;
  uint64_t state_;
};

}  // namespace kv
