#include "api/rest/node_json.h"

#include <cstdio>
#include <ctime>

#include "api/json/http_call.h"
#include "api/json/json_writer.h"
#include "api/net/router.h"
#include "base/log.h"
#include "base/utf8.h"
#include "store/auth_errors.h"

namespace kv::api {

using kvdpb::Node;

namespace {

// The ASCII characters that Go's encoder writes as they are.
bool is_plain(unsigned char c) {
  return c >= ' ' && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

// How it writes the others; empty: as they are, too.
std::string go_escape(const CodePoint& c) {
  if (!c.valid()) return "\\ufffd";
  switch (c.value) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '<':
    case '>':
    case '&':
    case 0x2028:
    case 0x2029: break;
    default:
      if (c.value >= ' ') return {};
  }
  char text[16];
  (void)std::snprintf(text, sizeof text, "\\u%04x", static_cast<unsigned>(c.value));
  return text;
}

}  // namespace

std::string utc_time(int64_t unix_ms) {
  const time_t seconds = unix_ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[64];
  const size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  char fraction[16];
  (void)std::snprintf(fraction, sizeof fraction, ".%03dZ", static_cast<int>(unix_ms % 1000));
  return std::string(text, size) + fraction;
}

HttpResponse message_response(int status, std::string_view text) {
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = "{\"message\":";
  append_json_string(text, response.body);
  response.body += '}';
  return response;
}

HttpResponse message_response(const Status& status) {
  if (!is_unauthorized(status)) return message_response(http_status(status.code()), status.text());
  HttpResponse response = message_response(401, status.text());
  ask_for_password(status, &response);
  return response;
}

bool is_unauthorized(const Status& status) {
  return status.code() == Code::kPermissionDenied || status.code() == Code::kUnauthenticated ||
         status == store::user_empty_error() || status == store::old_auth_revision_error();
}

void ask_for_password(const Status& status, HttpResponse* response) {
  if (status.code() != Code::kPermissionDenied)
    response->headers.emplace_back("WWW-Authenticate", "Basic realm=\"kvd\"");
}

std::string_view node_error_text(int code) {
  switch (code) {
    case 100: return "Key not found";
    case 101: return "Compare failed";
    case 102: return "Not a file";
    case 104: return "Not a directory";
    case 105: return "Key already exists";
    case 107: return "Root is read only";
    case 108: return "Directory not empty";
    case 110: return "The request requires user authentication";
    case 201: return "PrevValue is Required in POST form";
    case 202: return "The given TTL in POST form is not a number";
    case 203: return "The given index in POST form is not a number";
    case 209: return "Invalid field";
    case 210: return "Invalid POST form";
    case 211: return "Value provided on refresh";
    case 212: return "A TTL must be provided on refresh";
    case 301: return "During Leader Election";
    case 400: return "watcher is cleared due to etcd recovery";
    case 401: return "The event in requested index is outdated and cleared";
    default: return "Raft Internal Error";
  }
}

int node_error_http_status(int code) {
  switch (code) {
    case 100: return 404;
    case 102:
    case 108: return 403;
    case 101:
    case 105: return 412;
    case 110: return 401;
    case 300:
    case 301: return 500;
    default: return 400;
  }
}

void append_go_string(std::string_view text, std::string& out) {
  out += '"';
  size_t written = 0;
  for (size_t at = 0; at < text.size();) {
    if (is_plain(static_cast<unsigned char>(text[at]))) {
      ++at;
      continue;
    }
    const CodePoint c = decode_utf8(text.substr(at));
    if (const std::string escape = go_escape(c); !escape.empty()) {
      out.append(text.substr(written, at - written)).append(escape);
      written = at + c.length;
    }
    at += c.length;
  }
  out.append(text.substr(written)).append("\"");
}

// At most kMaxNodeDepth deep, or as deep as keys have come by another door.
void append_node(const Node& node, std::string& out) {
  char before = '{';
  const auto field = [&](std::string_view name) {
    out += before;
    before = ',';
    out.append("\"").append(name).append("\":");
  };
  if (!node.key().empty()) {
    field("key");
    append_go_string(node.key(), out);
  }
  if (node.dir()) {
    field("dir");
    out += "true";
  } else if (node.has_value()) {
    field("value");
    append_go_string(node.value(), out);
  }
  if (node.has_expires_at_ms()) {
    field("expiration");
    append_go_string(utc_time(node.expires_at_ms()), out);
  }
  if (node.has_ttl_s() && node.ttl_s() != 0) {
    field("ttl");
    out += std::to_string(node.ttl_s());
  }
  if (!node.nodes().empty()) {
    field("nodes");
    char separator = '[';
    for (const Node& child : node.nodes()) {
      out += separator;
      separator = ',';
      append_node(child, out);
    }
    out += ']';
  }
  if (node.modified_index() != 0) {
    field("modifiedIndex");
    out += std::to_string(node.modified_index());
    field("createdIndex");
    out += std::to_string(node.created_index());
  }
  out += before == '{' ? "{}" : "}";
}

std::string node_answer(const kvdpb::NodeResponse& response, bool without_nodes) {
  std::string out = "{\"action\":\"" + response.action() + "\"";
  if (without_nodes) return out + "}\n";
  out += ",\"node\":";
  append_node(response.node(), out);
  if (response.has_prev_node()) {
    out += ",\"prevNode\":";
    append_node(response.prev_node(), out);
  }
  out += "}\n";
  return out;
}

void add_node_headers(HttpResponse* response, uint64_t cluster_id, int64_t index) {
  response->headers.emplace_back("X-Etcd-Cluster-Id", hex_id(cluster_id));
  response->headers.emplace_back("X-Etcd-Index", std::to_string(index));
}

void add_raft_headers(HttpResponse* response, uint64_t index, uint64_t term) {
  response->headers.emplace_back("X-Raft-Index", std::to_string(index));
  response->headers.emplace_back("X-Raft-Term", std::to_string(term));
}

HttpResponse node_error_response(const NodeError& error, uint64_t cluster_id, int64_t index) {
  if (error.code == NodeError::kBadTarget) return {.status = 400, .body = "400 Bad Request"};
  if (error.code == NodeError::kNoSuchPage) return plain_error(404, "404 page not found");
  HttpResponse response;
  response.status = node_error_http_status(error.code);
  response.content_type = "application/json";
  add_node_headers(&response, cluster_id, index);
  response.body = "{\"errorCode\":" + std::to_string(error.code) + ",\"message\":";
  append_go_string(node_error_text(error.code), response.body);
  if (!error.cause.empty()) {
    response.body += ",\"cause\":";
    append_go_string(error.cause, response.body);
  }
  response.body += ",\"index\":" + std::to_string(index) + "}\n";
  return response;
}

}  // namespace kv::api
