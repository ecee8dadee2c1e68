#include "base/status.h"

#include <array>

namespace kv {

std::string_view code_name(Code code) {
  static constexpr std::array<std::string_view, 17> kNames = {
      "OK",          "Canceled",          "Unknown",          "InvalidArgument",    "DeadlineExceeded", "NotFound",
      "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",        "OutOfRange",
      "Unimplemented", "Internal",        "Unavailable",      "DataLoss",           "Unauthenticated"};
  const auto i = static_cast<size_t>(code);
  return i < kNames.size() ? kNames[i] : "Unknown";
}

std::string Status::to_string() const {
  if (ok()) return "OK";
  return std::string(code_name(code_)) + ": " + text_;
}

}  // namespace kv
