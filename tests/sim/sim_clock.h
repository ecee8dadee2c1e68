// A member's own clock. It runs at its own rate, which changes, and may stand still while the process is paused. Its
// past is kept, so that a checker can ask how much time it has counted between two moments.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace kv::sim {

class SimClock {
 public:
  // `nominal_us` of this clock pass in `tick_us` of the simulated time; 0: it stands still.
  void set_rate(uint64_t now_us, uint64_t nominal_us, uint64_t tick_us) {
    const uint64_t reading = at(now_us);
    pieces_.push_back({now_us, reading, tick_us == 0 ? 0 : nominal_us, tick_us == 0 ? 1 : tick_us});
  }

  // In microseconds; `us` may lie in the past, but not in the future of a change of the rate.
  uint64_t at(uint64_t us) const {
    auto piece = std::upper_bound(pieces_.begin(), pieces_.end(), us,
                                  [](uint64_t when, const Piece& p) { return when < p.from_us; });
    if (piece == pieces_.begin()) return us;
    --piece;
    return piece->reading + (us - piece->from_us) * piece->nominal_us / piece->tick_us;
  }

 private:
  struct Piece {
    uint64_t from_us, reading, nominal_us, tick_us;
  };
  std::vector<Piece> pieces_;
};

}  // namespace kv::sim
