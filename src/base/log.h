// Logging. One line an event, as text or as JSON (a JSON object a line), on standard error.
//
//   kv::log_info("ready to serve client requests", {{"client_urls", urls}, {"member", id}});
//
// Thread-safe. The fields' values are formatted only when the level is on. No secret goes into a log.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace kv {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };
enum class LogFormat : uint8_t { kText, kJson };

struct LogField {
  template <std::integral T>
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)), is_number(true) {}
  LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false"), is_number(true) {}
  LogField(std::string_view k, double v) : key(k), value(std::to_string(v)), is_number(true) {}
  LogField(std::string_view k, std::string v) : key(k), value(std::move(v)) {}
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}

  std::string_view key;
  std::string value;
  bool is_number = false;
};
using LogFields = std::initializer_list<LogField>;

// Both may be called at any time, from any thread; what is logged before is text at level info.
void set_log_level(LogLevel level);
void set_log_format(LogFormat format);
bool log_enabled(LogLevel level);

void log_write(LogLevel level, std::string_view message, LogFields fields);

inline void log_debug(std::string_view message, LogFields fields = {}) {
  if (log_enabled(LogLevel::kDebug)) log_write(LogLevel::kDebug, message, fields);
}
inline void log_info(std::string_view message, LogFields fields = {}) {
  log_write(LogLevel::kInfo, message, fields);
}
inline void log_warning(std::string_view message, LogFields fields = {}) {
  log_write(LogLevel::kWarning, message, fields);
}
inline void log_error(std::string_view message, LogFields fields = {}) {
  log_write(LogLevel::kError, message, fields);
}

// Sixteen hexadecimal digits at most, as etcd prints member and cluster ids.
std::string hex_id(uint64_t id);

}  // namespace kv
