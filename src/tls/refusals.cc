#include "tls/refusals.h"

#include <cstdint>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace kv::tls {
namespace {

constexpr int64_t kWindowMs = 10'000;
constexpr int kLinesPerWindow = 10;

}  // namespace

void log_refused(std::string_view whose, const std::string& address, const std::string& why) {
  static std::mutex mutex;  // guards the three below
  static int64_t window_end_ms = 0;
  static int left = 0;
  static uint64_t suppressed = 0;
  uint64_t others = 0;
  {
    const std::lock_guard lock(mutex);
    const int64_t now_ms = Clock::system().monotonic_ms();
    if (now_ms >= window_end_ms) {
      window_end_ms = now_ms + kWindowMs;
      left = kLinesPerWindow;
    }
    if (left == 0) {
      ++suppressed;
      return;
    }
    --left;
    others = std::exchange(suppressed, 0);
  }
  log_warning("rejected a connection: no TLS with it",
              {{"whose", whose}, {"address", address}, {"why", why}, {"suppressed", others}});
}

}  // namespace kv::tls
