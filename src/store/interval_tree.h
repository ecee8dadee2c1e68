// Key ranges, each with a value, and the question which of them hold a key: an interval tree, that is a search tree
// by the ranges' beginnings in which every node knows the highest end below it (Cormen et al., "Introduction to
// Algorithms", 14.3), balanced as a treap (Seidel and Aragon 1996).
//
// Finding k of n ranges costs O(k log n) at worst and mostly O(k + log n). Not thread-safe. What visit() meets, and in
// which order, depends on the ranges alone.
#pragma once

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "store/key_range.h"

namespace kv::store {

template <typename Value>
class IntervalTree {
 public:
  // The value of the range [begin, end), made when it is not there yet. Valid until the range is erased. `range` is not
  // single.
  Value& at(const KeyRange& range) {
    if (Node* const found = find(range)) return found->value;
    auto node = std::make_unique<Node>(range, next_priority());
    Value& value = node->value;
    auto [before, after] = split(std::move(root_), range);
    root_ = merge(merge(std::move(before), std::move(node)), std::move(after));
    ++size_;
    return value;
  }

  // Null when the range is not there.
  Value* get(const KeyRange& range) {
    Node* const found = find(range);
    return found == nullptr ? nullptr : &found->value;
  }

  void erase(const KeyRange& range) {
    if (erase(root_, range)) --size_;
  }

  // Calls `visit` with the value of each range that holds `key`, ordered by their beginnings and, where these are the
  // same, by their ends. `visit` must not change the tree.
  void visit(std::string_view key, absl::FunctionRef<void(Value&)> visit) const { stab(root_.get(), key, visit); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  struct Node;
  using Tree = std::unique_ptr<Node>;

  // The end of a range: without `bounded` it is beyond all keys.
  struct End {
    std::string_view key;
    bool bounded;

    bool beyond(std::string_view other) const { return !bounded || key > other; }
    bool operator<(const End& other) const { return bounded && (!other.bounded || key < other.key); }
    bool operator==(const End& other) const { return bounded == other.bounded && (!bounded || key == other.key); }
  };
  static End end_of(const KeyRange& range) { return {range.end, !range.unbounded}; }

  struct Node {
    Node(const KeyRange& range, uint64_t node_priority)
        : begin(range.begin), end_key(range.end), bounded(!range.unbounded), priority(node_priority) {
      update();
    }
    End end() const { return {end_key, bounded}; }
    void update() {
      max = this;
      for (const Node* child : {left.get(), right.get()}) {
        if (child != nullptr && max->end() < child->max->end()) max = child->max;
      }
    }

    const std::string begin;
    const std::string end_key;
    const bool bounded;
    const uint64_t priority;
    Value value{};
    Tree left, right;
    const Node* max = this;  // the node with the highest end, here and below
  };

  // Three-way, by beginning, then by end.
  static int compare(const KeyRange& range, const Node& node) {
    const int order = range.begin.compare(node.begin);
    if (order != 0) return order;
    const End end = end_of(range);
    return end == node.end() ? 0 : end < node.end() ? -1 : 1;
  }

  Node* find(const KeyRange& range) const {
    Node* node = root_.get();
    while (node != nullptr) {
      const int order = compare(range, *node);
      if (order == 0) break;
      node = order < 0 ? node->left.get() : node->right.get();
    }
    return node;
  }

  // What sorts before `range`, and the rest.
  static std::pair<Tree, Tree> split(Tree tree, const KeyRange& range) {
    if (!tree) return {};
    if (compare(range, *tree) <= 0) {
      auto [before, after] = split(std::move(tree->left), range);
      tree->left = std::move(after);
      tree->update();
      return {std::move(before), std::move(tree)};
    }
    auto [before, after] = split(std::move(tree->right), range);
    tree->right = std::move(before);
    tree->update();
    return {std::move(tree), std::move(after)};
  }

  // All of `before` sorts before all of `after`.
  static Tree merge(Tree before, Tree after) {
    if (!before) return after;
    if (!after) return before;
    if (before->priority > after->priority) {
      before->right = merge(std::move(before->right), std::move(after));
      before->update();
      return before;
    }
    after->left = merge(std::move(before), std::move(after->left));
    after->update();
    return after;
  }

  static bool erase(Tree& tree, const KeyRange& range) {
    if (!tree) return false;
    const int order = compare(range, *tree);
    if (order == 0) {
      Tree merged = merge(std::move(tree->left), std::move(tree->right));
      tree = std::move(merged);
      return true;
    }
    const bool erased = erase(order < 0 ? tree->left : tree->right, range);
    tree->update();
    return erased;
  }

  static void stab(Node* node, std::string_view key, absl::FunctionRef<void(Value&)> visit) {
    if (node == nullptr || !node->max->end().beyond(key)) return;
    stab(node->left.get(), key, visit);
    if (key < node->begin) return;
    if (node->end().beyond(key)) visit(node->value);
    stab(node->right.get(), key, visit);
  }

  // Random enough for balance and the same in every run (xorshift64*, Vigna 2016).
  uint64_t next_priority() {
    random_ ^= random_ >> 12;
    random_ ^= random_ << 25;
    random_ ^= random_ >> 27;
    return random_ * 0x2545f4914f6cdd1dULL;
  }

  Tree root_;
  size_t size_ = 0;
  uint64_t random_ = 0x9e3779b97f4a7c15ULL;
};

}  // namespace kv::store
