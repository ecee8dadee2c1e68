#include "api/json/http_call.h"

#include <strings.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "api/json/json_writer.h"
#include "api/net/grpc_wire.h"
#include "base/clock.h"

namespace kv::api {
namespace {

constexpr std::string_view kMetadata = "grpc-metadata-";
constexpr std::string_view kGateway = "grpcgateway-";

// The headers that grpc-gateway takes for permanent ones (IANA's list), and forwards under a prefix of its own.
constexpr std::array<std::string_view, 24> kPermanent = {"accept",
                                                         "accept-charset",
                                                         "accept-language",
                                                         "accept-ranges",
                                                         "authorization",
                                                         "cache-control",
                                                         "cookie",
                                                         "content-type",
                                                         "date",
                                                         "expect",
                                                         "from",
                                                         "host",
                                                         "origin",
                                                         "if-match",
                                                         "pragma",
                                                         "if-none-match",
                                                         "if-modified-since",
                                                         "if-schedule-tag-match",
                                                         "via",
                                                         "max-forwards",
                                                         "referer",
                                                         "user-agent",
                                                         "warning",
                                                         "if-unmodified-since"};

bool is_key(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  });
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

// "user:password", if that is what it says (RFC 7617).
std::optional<std::string> basic_credentials(std::string_view authorization) {
  constexpr std::string_view kScheme = "basic ";
  if (authorization.size() < kScheme.size() || strncasecmp(authorization.data(), kScheme.data(), kScheme.size()) != 0)
    return std::nullopt;
  std::optional<std::string> text = base64_decode(authorization.substr(kScheme.size()));
  return text && text->find(':') != std::string::npos ? text : std::nullopt;
}

std::string_view host_of(std::string_view peer) { return peer.substr(0, peer.rfind(':')); }

std::string_view reason(int status) {
  switch (status) {
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 409: return "Conflict";
    case 429: return "Too Many Requests";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Internal Server Error";
  }
}

std::string code_text(Code code) { return std::to_string(static_cast<int>(code)); }

}  // namespace

Status fill_context(CallContext& context, const HttpRequest& request, int64_t* timeout_ms) {
  context.peer = request.peer;
  *timeout_ms = -1;
  std::string forwarded_for;
  std::string forwarded_host(request.header("host"));
  std::string authorization;
  for (const auto& [name, value] : request.headers) {
    if (name == "x-forwarded-for") {
      forwarded_for += value + ", ";
      continue;
    }
    if (name == "x-forwarded-host") {
      forwarded_host = value;
      continue;
    }
    if (name == "grpc-timeout") {
      const std::optional<int64_t> timeout = parse_timeout_ms(value);
      if (!timeout) return {Code::kInvalidArgument, "invalid grpc-timeout: " + value};
      *timeout_ms = *timeout;
      context.deadline_ms = Clock::system().monotonic_ms() + *timeout;
      continue;
    }
    if (name == "authorization") {
      if (authorization.empty()) authorization = value;
      context.metadata.emplace_back(name, value);
    }
    std::string key;
    if (name.starts_with(kMetadata)) {
      key = name.substr(kMetadata.size());
    } else if (std::find(kPermanent.begin(), kPermanent.end(), name) != kPermanent.end()) {
      key = std::string(kGateway) + name;
    }
    if (!is_key(key)) continue;
    if (key.ends_with("-bin")) {
      std::optional<std::string> bytes = base64_decode(value);
      if (!bytes) return {Code::kInvalidArgument, "invalid binary header " + name};
      context.metadata.emplace_back(std::move(key), *std::move(bytes));
      continue;
    }
    if (!is_printable(value)) continue;
    if (key == "token") context.token = value;
    if (key == "hasleader") context.has_leader = value == "true";
    context.metadata.emplace_back(std::move(key), value);
  }
  if (context.token.empty()) {
    // What is no Basic that can be read is a token that is none.
    auto basic = basic_credentials(authorization);
    if (basic) {
      context.basic = *std::move(basic);
      std::erase_if(context.metadata, [](const auto& field) { return field.first.ends_with("authorization"); });
    } else {
      context.token = std::move(authorization);
    }
  }
  if (!forwarded_host.empty()) context.metadata.emplace_back("x-forwarded-host", std::move(forwarded_host));
  context.metadata.emplace_back("x-forwarded-for", forwarded_for + std::string(host_of(request.peer)));
  return {};
}

int http_status(Code code) {
  switch (code) {
    case Code::kOk: return 200;
    case Code::kCanceled: return 499;
    case Code::kInvalidArgument:
    case Code::kFailedPrecondition:
    case Code::kOutOfRange: return 400;
    case Code::kUnauthenticated: return 401;
    case Code::kPermissionDenied: return 403;
    case Code::kNotFound: return 404;
    case Code::kAlreadyExists:
    case Code::kAborted: return 409;
    case Code::kResourceExhausted: return 429;
    case Code::kUnimplemented: return 501;
    case Code::kUnavailable: return 503;
    case Code::kDeadlineExceeded: return 504;
    case Code::kUnknown:
    case Code::kInternal:
    case Code::kDataLoss: return 500;
  }
  return 500;
}

HttpResponse json_head(const CallContext& context) {
  HttpResponse head;
  head.content_type = "application/json";
  head.headers.emplace_back("Grpc-Metadata-Content-Type", "application/grpc");
  for (const auto& [key, value] : context.response_headers) {
    head.headers.emplace_back("Grpc-Metadata-" + key, key.ends_with("-bin") ? base64_encode(value) : value);
  }
  return head;
}

HttpResponse json_error(const Status& status) {
  HttpResponse response;
  response.status = http_status(status.code());
  response.content_type = "application/json";
  if (status.code() == Code::kUnauthenticated) response.headers.emplace_back("WWW-Authenticate", status.text());
  response.body = "{\"error\":";
  append_json_string(status.text(), response.body);
  response.body += ",\"code\":" + code_text(status.code()) + ",\"message\":";
  append_json_string(status.text(), response.body);
  response.body += '}';
  return response;
}

std::string stream_error(const Status& status) {
  const int http = http_status(status.code());
  std::string line = "{\"error\":{\"grpc_code\":" + code_text(status.code()) +
                     ",\"http_code\":" + std::to_string(http) + ",\"code\":" + code_text(status.code()) +
                     ",\"message\":";
  append_json_string(status.text(), line);
  line += ",\"http_status\":";
  append_json_string(reason(http), line);
  line += "}}\n";
  return line;
}

Status body_too_large(size_t limit) {
  return {Code::kResourceExhausted, "the request's body is larger than " + std::to_string(limit) + " bytes"};
}

Status message_too_large(size_t bytes, size_t limit) {
  return {Code::kResourceExhausted,
          "grpc: received message larger than max (" + std::to_string(bytes) + " vs. " + std::to_string(limit) + ")"};
}

}  // namespace kv::api
