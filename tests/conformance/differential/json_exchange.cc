#include "conformance/differential/json_exchange.h"

#include <arpa/inet.h>
#include <google/protobuf/util/json_util.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace kv::differential {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 5> kPaths = {"/v3/kv/range", "/v3/kv/put", "/v3/kv/deleterange", "/v3/kv/txn",
                                               "/v3/kv/compaction"};

// All that the server says to `request`, which asks it to close.
std::string talk(const std::string& endpoint, const std::string& request) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const timeval patience{.tv_sec = 30, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1))));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string out;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
    char buffer[65536];
    for (ssize_t n = 0; (n = ::recv(fd, buffer, sizeof buffer, 0)) > 0;) out.append(buffer, static_cast<size_t>(n));
  }
  ::close(fd);
  return out;
}

std::string http_request(const std::string& method, const std::string& path, const std::string& body) {
  return method + " " + path +
         " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

std::string in_lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// The content of chunks; what follows the last one are trailers.
std::string unchunked(const std::string& body) {
  std::string out;
  for (size_t at = 0; at < body.size();) {
    const size_t size = std::stoul(body.substr(at, 16), nullptr, 16);
    at = body.find("\r\n", at);
    if (size == 0 || at == std::string::npos) break;
    out += body.substr(at + 2, size);
    at += size + 4;
  }
  return out;
}

void mask(Json& json) {
  if (json.is_object()) {
    for (auto& [name, value] : json.items()) {
      if (name == "cluster_id" || name == "member_id" || name == "raft_term") {
        value = "masked";
      } else {
        mask(value);
      }
    }
  } else if (json.is_array()) {
    for (auto& value : json) mask(value);
  }
}

std::string write_request(const Request& request, uint64_t variant) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = (variant & 1) != 0;
  options.always_print_enums_as_ints = (variant & 2) != 0;
  std::string text;
  const auto status = std::visit(
      [&](const auto& r) { return google::protobuf::util::MessageToJsonString(r, &text, options); }, request);
  if (!status.ok()) throw std::runtime_error("a request that is no JSON: " + status.ToString());
  return text;
}

}  // namespace

Answer ask_json(const std::string& endpoint, const Request& request, uint64_t variant) {
  const std::string all =
      talk(endpoint, http_request("POST", kPaths[request.index()], write_request(request, variant)));
  Answer answer{.code = grpc::StatusCode::UNKNOWN};
  const size_t end = all.find("\r\n\r\n");
  if (!all.starts_with("HTTP/1.1 ") || end == std::string::npos) {
    answer.message = "no HTTP answer: " + all;
    return answer;
  }
  const std::string status = all.substr(9, 3);
  const std::string head = in_lower_case(all.substr(0, end));
  const bool chunked = head.find("transfer-encoding: chunked") != std::string::npos;
  const std::string content = chunked ? unchunked(all.substr(end + 4)) : all.substr(end + 4);
  Json json = Json::parse(content, nullptr, false);
  if (!json.is_object() || head.find("\r\ncontent-type: application/json") == std::string::npos) {
    answer.message = "no JSON: " + all;
    return answer;
  }
  if (status == "200") {
    answer.code = grpc::StatusCode::OK;
    answer.revision = std::stoll(json["header"].value("revision", std::string("0")));
    mask(json);
    answer.response = json.dump(1);
    return answer;
  }
  answer.code = static_cast<grpc::StatusCode>(json.value("code", 0));
  answer.message = json.value("message", "");
  answer.response = "HTTP " + status + (json.value("error", "") == answer.message ? "" : ", another \"error\"");
  return answer;
}

std::string ask_http(const std::string& endpoint, const std::string& method, const std::string& path,
                     const std::string& body) {
  const std::string all = talk(endpoint, http_request(method, path, body));
  const std::string head = in_lower_case(all.substr(0, all.find("\r\n\r\n")));
  if (!head.starts_with("http/1.1 ")) return "";
  static const std::string kType = "\r\ncontent-type: ";
  const size_t type = head.find(kType);
  if (type == std::string::npos) return head.substr(9, 3);
  const size_t from = type + kType.size();
  return head.substr(9, 3) + " " + head.substr(from, head.find_first_of(";\r", from) - from);
}

}  // namespace kv::differential
