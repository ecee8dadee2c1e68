#include "api/rest/form.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "store/node_tree.h"

namespace kv::api {
namespace {

using kvdpb::NodeRequest;
using Form = std::map<std::string, std::string, std::less<>>;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The first value of a name counts.
std::optional<NodeError> read_form(std::string_view text, Form* form) {
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    if (pair.empty()) continue;
    if (pair.find(';') != std::string_view::npos) return NodeError{210, "invalid semicolon separator in query"};
    const size_t equals = std::min(pair.find('='), pair.size());
    std::string bad;
    auto name = unescape(pair.substr(0, equals), true, &bad);
    auto value = unescape(pair.substr(std::min(equals + 1, pair.size())), true, &bad);
    if (!name || !value) return NodeError{210, "invalid URL escape \"" + bad + "\""};
    form->emplace(*std::move(name), *std::move(value));
  }
  return std::nullopt;
}

// As Go's ParseBool.
std::optional<bool> read_bool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

std::optional<NodeError> take_bool(const Form& form, std::string_view name, bool* out) {
  const auto found = form.find(name);
  if (found == form.end()) return std::nullopt;
  const std::optional<bool> value = read_bool(found->second);
  const std::string_view quote = name == "refresh" ? "" : "\"";
  if (!value) return NodeError{209, std::string("invalid value for ").append(quote).append(name).append(quote)};
  *out = *value;
  return std::nullopt;
}

// A number from 0 on; `code` is for what is none.
std::optional<NodeError> take_number(const Form& form, std::string_view name, int code, std::optional<uint64_t>* out) {
  const auto found = form.find(name);
  if (found == form.end()) return std::nullopt;
  const std::string& text = found->second;
  uint64_t number = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong != std::errc() || end != text.data() + text.size())
    return NodeError{code, "invalid value for \"" + std::string(name) + "\""};
  *out = number;
  return std::nullopt;
}

std::optional<NodeError> take_conditions(const Form& form, NodeRequest* out) {
  std::optional<uint64_t> index;
  if (auto error = take_number(form, "prevIndex", 203, &index)) return error;
  out->set_prev_index(index.value_or(0));
  if (const auto found = form.find("prevValue"); found != form.end()) {
    if (found->second.empty()) return NodeError{201, "\"prevValue\" cannot be empty"};
    out->set_prev_value(found->second);
  }
  if (const auto found = form.find("prevExist"); found != form.end()) {
    const std::optional<bool> exists = read_bool(found->second);
    if (!exists) return NodeError{209, "invalid value for prevExist"};
    out->set_prev_exist(*exists);
  }
  return std::nullopt;
}

// Of "type/subtype; name=value": what follows the type, loosely as Go reads it.
bool valid_parameters(std::string_view type) {
  const auto trim = [](std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
  };
  std::string_view rest = trim(type.substr(std::min(type.find(';'), type.size())));
  while (!rest.empty() && rest != ";") {
    rest = trim(rest.substr(1));
    const size_t equals = rest.find('=');
    const size_t end = std::min(rest.find(';'), rest.size());
    if (equals == 0 || equals >= end || equals + 1 == end) return false;
    rest = trim(rest.substr(end));
  }
  return true;
}

NodeRequest::Method method_of(std::string_view method) {
  if (method == "PUT") return NodeRequest::PUT;
  if (method == "POST") return NodeRequest::POST;
  return method == "DELETE" ? NodeRequest::DELETE : NodeRequest::GET;
}

}  // namespace

std::optional<std::string> unescape(std::string_view text, bool form, std::string* bad) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += form && text[at] == '+' ? ' ' : text[at];
      continue;
    }
    const int high = at + 2 < text.size() ? hex_digit(text[at + 1]) : -1;
    const int low = at + 2 < text.size() ? hex_digit(text[at + 2]) : -1;
    if (high < 0 || low < 0) {
      *bad = text.substr(at, 3);
      return std::nullopt;
    }
    out += static_cast<char>(high * 16 + low);
    at += 2;
  }
  return out;
}

std::string clean_node_path(std::string_view path, bool* above) {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    if (name.empty() || name == ".") continue;
    if (name != "..") {
      names.push_back(name);
    } else if (!names.empty()) {
      names.pop_back();
    } else if (above != nullptr) {
      *above = true;
    }
  }
  std::string clean;
  for (const std::string_view name : names) clean.append("/").append(name);
  return clean.empty() ? "/" : clean;
}

std::optional<NodeError> read_node_path(const HttpRequest& http, size_t prefix, std::string* path) {
  std::string bad;
  const auto text = unescape(std::string_view(http.path).substr(std::min(prefix, http.path.size())), false, &bad);
  if (!text) return NodeError{NodeError::kBadTarget, {}};
  bool above = false;
  *path = clean_node_path(*text, &above);
  if (above) return NodeError{NodeError::kNoSuchPage, {}};
  return std::nullopt;
}

std::optional<NodeError> read_node_call(const HttpRequest& http, size_t prefix, NodeCall* out) {
  NodeRequest& node = out->node;
  node.set_method(method_of(http.method));
  if (auto error = read_node_path(http, prefix, node.mutable_path())) return error;
  if (static_cast<size_t>(std::count(node.path().begin(), node.path().end(), '/')) > store::kMaxNodeDepth)
    return NodeError{209, "a key has at most " + std::to_string(store::kMaxNodeDepth) + " names"};

  Form form;
  const bool writes = node.method() == NodeRequest::PUT || node.method() == NodeRequest::POST;
  // Clients that set no type send plain bytes; curl -d says that it sends a form.
  const std::string_view type = http.header("content-type");
  if (writes && type.starts_with("multipart/")) return NodeError{210, "multipart forms are not supported"};
  if (writes && !valid_parameters(type)) return NodeError{210, "mime: invalid media parameter"};
  const bool is_form = type.starts_with("application/x-www-form-urlencoded");
  if (writes && is_form) {
    if (auto error = read_form(http.body, &form)) return error;
  }
  if (auto error = read_form(http.query, &form)) return error;
  if (writes && !is_form && !http.body.empty()) form["value"] = http.body;

  bool recursive = false, dir = false, quorum = false, sorted_anyway = false, refresh = false;
  for (auto [name, value] :
       {std::pair("recursive", &recursive), std::pair("dir", &dir), std::pair("quorum", &quorum),
        std::pair("sorted", &sorted_anyway), std::pair("refresh", &refresh), std::pair("wait", &out->wait),
        std::pair("stream", &out->stream), std::pair("noValueOnSuccess", &out->no_value_on_success)}) {
    if (auto error = take_bool(form, name, value)) return error;
  }
  if (auto error = take_conditions(form, &node)) return error;
  std::optional<uint64_t> ttl, wait_index;
  // "ttl=" takes a TTL away.
  if (const auto found = form.find("ttl"); found != form.end() && found->second.empty()) form.erase(found);
  if (auto error = take_number(form, "ttl", 202, &ttl)) return error;
  if (auto error = take_number(form, "waitIndex", 203, &wait_index)) return error;
  const auto value = form.find("value");
  if (refresh) {
    if (value != form.end() && !value->second.empty()) return NodeError{211, "A value was provided on a refresh"};
    if (!ttl) return NodeError{212, "No TTL value set"};
  }
  if (out->wait && node.method() != NodeRequest::GET)
    return NodeError{209, "\"wait\" can only be used with GET requests"};
  node.set_recursive(recursive);
  node.set_dir(dir);
  node.set_quorum(quorum);
  node.set_refresh(refresh);
  if (ttl) node.set_ttl_s(static_cast<int64_t>(std::min<uint64_t>(*ttl, INT64_MAX)));
  out->wait_index = static_cast<int64_t>(std::min<uint64_t>(wait_index.value_or(0), INT64_MAX));
  if (writes && value != form.end()) node.set_value(value->second);
  return std::nullopt;
}

}  // namespace kv::api
