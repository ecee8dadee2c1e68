#include "server/downgrade.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <vector>

namespace kv::server {
namespace {

struct Version {
  int64_t major = 0;
  int64_t minor = 0;
};

// A part of a semantic version: digits, without zeros in front.
std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return value;
}

// Identifiers with dots between them, none of them empty.
bool is_identifier(std::string_view text) {
  if (text.empty() || text.front() == '.' || text.back() == '.' || text.find("..") != text.npos) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.';
  });
}

// MAJOR.MINOR.PATCH, and what semantic versions allow behind it.
std::optional<Version> parse(std::string_view text) {
  if (const size_t plus = text.find('+'); plus != std::string_view::npos) {
    if (!is_identifier(text.substr(plus + 1))) return std::nullopt;
    text = text.substr(0, plus);
  }
  if (const size_t minus = text.find('-'); minus != std::string_view::npos) {
    if (!is_identifier(text.substr(minus + 1))) return std::nullopt;
    text = text.substr(0, minus);
  }
  std::vector<int64_t> parts;
  while (true) {
    const size_t dot = std::min(text.find('.'), text.size());
    const auto part = number(text.substr(0, dot));
    if (!part) return std::nullopt;
    parts.push_back(*part);
    if (dot == text.size()) break;
    text.remove_prefix(dot + 1);
  }
  if (parts.size() != 3) return std::nullopt;
  return Version{parts[0], parts[1]};
}

}  // namespace

Result<std::string> parse_cluster_version(std::string_view text) {
  auto version = parse(text);
  if (!version) version = parse(std::string(text) + ".0");
  if (!version) return Status(Code::kInvalidArgument, "etcdserver: wrong downgrade target version format");
  return std::to_string(version->major) + "." + std::to_string(version->minor) + ".0";
}

std::string short_version(std::string_view version) {
  const auto parsed = parse(version);
  return parsed ? std::to_string(parsed->major) + "." + std::to_string(parsed->minor) : std::string(version);
}

Status check_downgrade(std::string_view target, std::string_view cluster_version, bool in_progress) {
  const auto to = parse(target), from = parse(cluster_version);
  if (!to || !from || to->major != from->major || to->minor != from->minor - 1) {
    return {Code::kInvalidArgument, "etcdserver: invalid downgrade target version"};
  }
  if (in_progress) return {Code::kFailedPrecondition, "etcdserver: cluster has a downgrade job in progress"};
  return {};
}

}  // namespace kv::server
