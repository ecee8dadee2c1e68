#include "api/json/json_reader.h"

namespace kv::api {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

void JsonSplitter::drop_given() {
  if (given_ == 0 || given_ < text_.size() / 2) return;  // each byte is moved once, as a rule
  text_.erase(0, given_);
  at_ -= given_;
  start_ -= given_;
  given_ = 0;
}

bool JsonSplitter::next(std::string_view& value) {
  drop_given();
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (!begun_) {
      ++at_;
      if (is_space(c)) {
        start_ = at_;
        continue;
      }
      begun_ = true;
      start_ = at_ - 1;
      depth_ = c == '{' || c == '[' ? 1 : 0;
      in_string_ = c == '"';
      continue;
    }
    bool complete = false;
    if (in_string_) {
      ++at_;
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
        complete = depth_ == 0;
      }
    } else if (depth_ == 0) {  // a number or a word, which ends before what follows
      complete = is_space(c) || c == '{' || c == '[' || c == '"' || c == ',';
      if (!complete) ++at_;
    } else {
      ++at_;
      if (c == '"') in_string_ = true;
      if (c == '{' || c == '[') ++depth_;
      if (c == '}' || c == ']') complete = --depth_ == 0;
    }
    if (!complete) continue;
    begun_ = false;
    value = std::string_view(text_).substr(start_, at_ - start_);
    given_ = at_;
    start_ = at_;
    return true;
  }
  if (!begun_) {  // white space alone
    text_.clear();
    start_ = at_ = given_ = 0;
  }
  return false;
}

bool JsonSplitter::last(std::string_view& value) {
  if (next(value)) return true;
  if (!begun_) return false;
  begun_ = false;
  value = std::string_view(text_).substr(start_);
  given_ = start_ = at_ = text_.size();
  return true;
}

}  // namespace kv::api
