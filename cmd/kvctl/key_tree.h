// Keys as a tree whose folders are the parts between '/'.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "kvctl/terminal.h"

namespace kv::kvctl {

// Holds what it draws and no more: below the depth, keys are only counted.
class KeyTree {
 public:
  static constexpr size_t kMaxDepth = 64;  // what lies deeper is drawn as one name

  // `depth` levels are drawn; 0: all, up to kMaxDepth.
  explicit KeyTree(size_t depth) : depth_(depth == 0 || depth > kMaxDepth ? kMaxDepth : depth), cut_(depth_ == depth) {}

  // A key without what stands above the root, and what is drawn behind it ("" for nothing).
  void add(std::string_view key, std::string_view value);

  uint64_t keys() const { return root_.keys; }

  // The lines of the tree below a line `root`. With `values`, " = value" behind each key.
  std::string draw(std::string_view root, bool values, const Terminal& terminal) const;

 private:
  struct Node {
    std::map<std::string, Node> children{};  // by name; a folder's ends in '/'
    uint64_t keys = 0;                       // below it and itself
    bool is_key = false;
    std::string value{};
  };
  struct Pen;
  static void draw(const Node& node, const std::string& indent, Pen& pen);

  const size_t depth_;
  const bool cut_;  // what is deeper is not drawn at all
  Node root_{};
};

}  // namespace kv::kvctl
