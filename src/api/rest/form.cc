#include "api/rest/form.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace kv::api {
namespace {

using server::TreeAction;
using server::TreeError;
using server::TreeRequest;
using Form = std::map<std::string, std::string, std::less<>>;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The first value of a name counts.
std::optional<TreeError> read_form(std::string_view text, Form* form) {
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    if (pair.empty()) continue;
    if (pair.find(';') != std::string_view::npos) return TreeError{210, "invalid semicolon separator in query"};
    const size_t equals = std::min(pair.find('='), pair.size());
    std::string bad;
    auto name = unescape(pair.substr(0, equals), true, &bad);
    auto value = unescape(pair.substr(std::min(equals + 1, pair.size())), true, &bad);
    if (!name || !value) return TreeError{210, "invalid URL escape \"" + bad + "\""};
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

std::optional<TreeError> take_bool(const Form& form, std::string_view name, bool* out) {
  const auto found = form.find(name);
  if (found == form.end() || found->second.empty()) return std::nullopt;
  const std::optional<bool> value = read_bool(found->second);
  if (!value) return TreeError{209, "invalid value for \"" + std::string(name) + "\""};
  *out = *value;
  return std::nullopt;
}

std::optional<TreeError> take_conditions(const Form& form, TreeRequest* out) {
  if (const auto found = form.find("prevIndex"); found != form.end() && !found->second.empty()) {
    const std::string& text = found->second;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), out->prev_index);
    if (wrong != std::errc() || end != text.data() + text.size()) {
      return TreeError{203, "invalid value for \"prevIndex\""};
    }
  }
  if (const auto found = form.find("prevValue"); found != form.end()) {
    if (found->second.empty()) return TreeError{201, "\"prevValue\" cannot be empty"};
    out->prev_value = found->second;
  }
  if (const auto found = form.find("prevExist"); found != form.end() && !found->second.empty()) {
    out->prev_exist = read_bool(found->second);
    if (!out->prev_exist) return TreeError{209, "invalid value for prevExist"};
  }
  return std::nullopt;
}

// What this version does not do is refused, never passed over: a key that was to expire must not stay.
std::optional<TreeError> refuse_unserved(const Form& form, const TreeRequest& request) {
  for (const std::string_view name : {"wait", "stream", "refresh"}) {
    bool asked = false;
    if (auto error = take_bool(form, name, &asked)) return error;
    if (asked && !(name == "stream" && request.action != TreeAction::kGet)) {
      return TreeError{209, "\"" + std::string(name) + "\" is not supported"};
    }
  }
  if (const auto ttl = form.find("ttl"); ttl != form.end() && !ttl->second.empty()) {
    return TreeError{209, "\"ttl\" is not supported"};
  }
  const bool writes_value = request.action == TreeAction::kPut || request.action == TreeAction::kPost;
  if (writes_value && request.dir) return TreeError{209, "\"dir\" is not supported here"};
  return std::nullopt;
}

TreeAction action_of(std::string_view method) {
  if (method == "PUT") return TreeAction::kPut;
  if (method == "POST") return TreeAction::kPost;
  return method == "DELETE" ? TreeAction::kDelete : TreeAction::kGet;
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

std::optional<TreeError> read_tree_request(const HttpRequest& http, size_t prefix, TreeRequest* out) {
  out->action = action_of(http.method);
  std::string bad;
  const auto path = unescape(std::string_view(http.path).substr(std::min(prefix, http.path.size())), false, &bad);
  if (!path) return TreeError{210, "invalid URL escape \"" + bad + "\""};
  out->key = server::clean_tree_key(*path);
  if (static_cast<size_t>(std::count(out->key.begin(), out->key.end(), '/')) > server::kMaxTreeDepth) {
    return TreeError{209, "a key has at most " + std::to_string(server::kMaxTreeDepth) + " names"};
  }

  Form form;
  const bool has_value = out->action == TreeAction::kPut || out->action == TreeAction::kPost;
  // Clients that set no type send plain bytes; curl -d says that it sends a form.
  const std::string_view type = http.header("content-type");
  if (has_value && type.starts_with("multipart/")) return TreeError{210, "multipart forms are not supported"};
  const bool is_form = type.starts_with("application/x-www-form-urlencoded");
  if (has_value && is_form) {
    if (auto error = read_form(http.body, &form)) return error;
  }
  if (auto error = read_form(http.query, &form)) return error;
  if (has_value && !is_form && !http.body.empty()) form["value"] = http.body;

  if (auto error = take_bool(form, "recursive", &out->recursive)) return error;
  if (auto error = take_bool(form, "dir", &out->dir)) return error;
  if (auto error = take_bool(form, "quorum", &out->quorum)) return error;
  bool sorted = false;  // answers always are
  if (auto error = take_bool(form, "sorted", &sorted)) return error;
  if (auto error = take_conditions(form, out)) return error;
  if (auto error = refuse_unserved(form, *out)) return error;
  if (const auto found = form.find("value"); found != form.end()) out->value = std::move(found->second);
  return std::nullopt;
}

}  // namespace kv::api
