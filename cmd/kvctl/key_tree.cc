#include "kvctl/key_tree.h"

namespace kv::kvctl {

void KeyTree::add(std::string_view key, std::string_view value) {
  Node* node = &root_;
  ++node->keys;
  for (size_t level = 1; !key.empty(); ++level) {
    if (level > depth_ && cut_) return;
    const size_t slash = level < kMaxDepth ? key.find('/') : key.npos;
    const size_t length = slash == key.npos ? key.size() : slash + 1;
    node = &node->children[std::string(key.substr(0, length))];
    ++node->keys;
    key.remove_prefix(length);
  }
  node->is_key = true;
  node->value = value;
}

struct KeyTree::Pen {
  const bool values;
  const Terminal& terminal;
  const Paint paint;
  std::string out{};
};

void KeyTree::draw(const Node& node, const std::string& indent, Pen& pen) {
  const bool utf8 = pen.terminal.utf8;
  size_t left = node.children.size();
  for (const auto& [name, child] : node.children) {
    const bool last = --left == 0;
    const std::string branch = indent + (last ? (utf8 ? "└── " : "`-- ") : (utf8 ? "├── " : "|-- "));
    const std::string shown = printable(name);
    const bool folder = name.ends_with('/') && !(child.is_key && child.keys == 1);
    pen.out += branch + pen.paint(folder ? Style::kHeading : Style::kKey, shown);
    size_t width = width_of(branch) + width_of(shown);
    if (folder) {
      const std::string keys = "  (" + std::to_string(child.keys) + (child.keys == 1 ? " key)" : " keys)");
      pen.out += pen.paint(Style::kFaint, keys);
      width += keys.size();
    }
    if (child.is_key && pen.values) {
      std::string value = printable(child.value);
      constexpr std::string_view kIs = " = ";
      if (pen.terminal.is_terminal) {
        const size_t room = pen.terminal.columns > width + kIs.size() ? pen.terminal.columns - width - kIs.size() : 0;
        value = cut_to(std::move(value), room);
      }
      pen.out += std::string(kIs) + value;
    }
    pen.out += '\n';
    draw(child, indent + (last ? "    " : utf8 ? "│   " : "|   "), pen);
  }
}

std::string KeyTree::draw(std::string_view root, bool values, const Terminal& terminal) const {
  Pen pen{values, terminal, Paint(terminal)};
  pen.out = pen.paint(Style::kHeading, printable(root)) + '\n';
  draw(root_, "", pen);
  return std::move(pen.out);
}

}  // namespace kv::kvctl
