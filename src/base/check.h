// Assertions for programmer's errors. They stay on in release: a member that has lost track of its own state
// must stop, not go on (docs/design.md, "Safety").
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace kv {

[[noreturn]] inline void check_failed(const char* file, int line, const char* condition, std::string_view why) {
  std::fprintf(stderr, "%s:%d: check failed: %s: %.*s\n", file, line, condition, static_cast<int>(why.size()),
               why.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace kv

// KV_CHECK(condition, why): aborts with the place, the condition and `why`, which is evaluated only then.
#define KV_CHECK(condition, why)                                                       \
  do {                                                                                 \
    if (!(condition)) [[unlikely]]                                                     \
      ::kv::check_failed(__FILE__, __LINE__, #condition, std::string_view(std::string(why))); \
  } while (false)
