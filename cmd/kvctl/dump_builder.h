// Entries from the events of a parser, JSON's or YAML's: the one place that knows what may stand in an export.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "kvctl/dump.h"

namespace kv::kvctl {

// Each event returns false to stop the parser; then error() says why.
class DumpBuilder {
 public:
  explicit DumpBuilder(const std::function<Status(DumpEntry&&)>& take) : take_(take) {}

  bool begin_map();
  bool end_map();
  bool begin_list();
  bool end_list();
  bool name(std::string text);
  // A string, or a number as it is written. `is_text` false: it can't be a key or a value (a number of JSON, null).
  bool scalar(std::string text, bool is_text);
  bool fail(std::string what);

  // Ok when it was a whole export.
  Status finish();
  const Status& error() const { return error_; }

 private:
  enum class Place : unsigned char { kOutside, kTop, kKeys, kEntry, kOver };

  bool set_top(const std::string& text);
  bool set_entry(const std::string& text, bool is_text);
  bool number(const std::string& text, int64_t& into);

  const std::function<Status(DumpEntry&&)>& take_;
  Place place_ = Place::kOutside;
  bool bare_list_ = false;  // the entries alone, without a head
  bool has_head_ = false;
  std::string name_;
  DumpEntry entry_;
  bool has_key_ = false, has_value_ = false;
  int64_t entries_ = 0, announced_ = -1;
  Status error_;
};

}  // namespace kv::kvctl
