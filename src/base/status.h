// Status: what a call answers when it can fail; Result<T>: a value or a Status.
//
// The codes are gRPC's, because the wire's codes are gRPC's and a translation table would be one more place
// to be wrong. Texts that clients compare are etcd's to the letter (docs/api.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace kv {

enum class Code : uint8_t {
  kOk = 0,
  kCanceled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

std::string_view code_name(Code code);

// A code and a text for people. Cheap to move; an ok Status allocates nothing.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string text) : code_(code), text_(std::move(text)) {}

  static Status ok_status() { return {}; }

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& text() const { return text_; }
  // "Code: text", for logs.
  std::string to_string() const;

  bool operator==(const Status&) const = default;

 private:
  Code code_ = Code::kOk;
  std::string text_;
};

// A T, or the Status that says why there is none. Never holds an ok Status.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}  // NOLINT: a value is a result
  Result(Status status) : state_(std::move(status)) {  // NOLINT: so is an error
    KV_CHECK(!std::get<Status>(state_).ok(), "a Result without a value needs an error");
  }

  bool ok() const { return std::holds_alternative<T>(state_); }
  Status status() const { return ok() ? Status() : std::get<Status>(state_); }

  T& value() & {
    KV_CHECK(ok(), status().to_string());
    return std::get<T>(state_);
  }
  const T& value() const& {
    KV_CHECK(ok(), status().to_string());
    return std::get<T>(state_);
  }
  T&& value() && {
    KV_CHECK(ok(), status().to_string());
    return std::get<T>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Status> state_;
};

// Returns from the calling function when `expr` is not ok.
#define KV_RETURN_IF_ERROR(expr)                     \
  do {                                               \
    if (::kv::Status kv_status_ = (expr); !kv_status_.ok()) return kv_status_; \
  } while (false)

}  // namespace kv
