// Strong<Tag>: a 64-bit number of one kind. A Term can't be passed where an Index is wanted, and costs the same.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

namespace kv {

template <typename Tag, typename Rep = uint64_t>
class Strong {
 public:
  using rep = Rep;

  constexpr Strong() = default;
  constexpr explicit Strong(Rep value) : value_(value) {}

  constexpr Rep value() const { return value_; }
  constexpr explicit operator bool() const { return value_ != 0; }

  constexpr auto operator<=>(const Strong&) const = default;

  // Numbers of one kind are counted with plain ones; the difference of two is a plain number.
  constexpr Strong operator+(Rep n) const { return Strong(value_ + n); }
  constexpr Strong operator-(Rep n) const { return Strong(value_ - n); }
  constexpr Rep operator-(Strong other) const { return value_ - other.value_; }
  constexpr Strong& operator++() {
    ++value_;
    return *this;
  }
  constexpr Strong& operator--() {
    --value_;
    return *this;
  }

  friend std::ostream& operator<<(std::ostream& out, Strong s) { return out << s.value_; }
  friend std::string to_string(Strong s) { return std::to_string(s.value_); }

 private:
  Rep value_ = 0;
};

}  // namespace kv

template <typename Tag, typename Rep>
struct std::hash<kv::Strong<Tag, Rep>> {
  size_t operator()(kv::Strong<Tag, Rep> s) const noexcept { return std::hash<Rep>()(s.value()); }
};
