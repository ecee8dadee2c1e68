#include "server/peer_http.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/src.hpp>
#include <charconv>

#include "base/log.h"
#include "raft/transport_query.h"
#include "server/member.h"

namespace kv::server {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace json = boost::json;
using boost::system::error_code;

constexpr std::string_view kClusterIdHeader = "X-Etcd-Cluster-ID";
// Of an answer that is read; a list of members is some kilobytes.
constexpr size_t kMaxResponseBytes = 1 << 20;

std::string response(std::string_view status, std::string_view type, uint64_t cluster_id, const std::string& body) {
  std::string out = "HTTP/1.1 ";
  out.append(status).append("\r\nContent-Type: ").append(type).append("\r\n");
  out.append(kClusterIdHeader).append(": ").append(hex_id(cluster_id));
  out += "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
  return out;
}

template <typename Urls>
json::array list(const Urls& urls) {
  json::array out;
  for (const std::string& url : urls) out.emplace_back(url);
  return out;
}

json::value value_of(const etcdserverpb::Member& member) {
  json::object out;
  out["id"] = member.id();
  out["peerURLs"] = list(member.peerurls());
  if (member.islearner()) out["isLearner"] = true;
  if (!member.name().empty()) out["name"] = member.name();
  if (member.clienturls_size() > 0) out["clientURLs"] = list(member.clienturls());
  return out;
}

Status nonsense(const std::string& what) {
  return {Code::kUnavailable, "its answer to GET /members is not what a member says: " + what};
}

bool take_strings(const json::object& from, std::string_view name,
                  google::protobuf::RepeatedPtrField<std::string>* to) {
  const json::value* const found = from.if_contains(name);
  if (found == nullptr) return true;
  if (!found->is_array()) return false;
  for (const json::value& item : found->get_array()) {
    if (!item.is_string()) return false;
    *to->Add() = std::string(item.get_string());
  }
  return true;
}

bool read_member(const json::value& from, etcdserverpb::Member* to) {
  if (!from.is_object()) return false;
  const json::object& object = from.get_object();
  const json::value* const id = object.if_contains("id");
  if (id == nullptr) return false;
  error_code error;
  to->set_id(id->to_number<uint64_t>(error));
  if (error || to->id() == 0) return false;
  if (const json::value* const name = object.if_contains("name")) {
    if (!name->is_string()) return false;
    to->set_name(std::string(name->get_string()));
  }
  if (const json::value* const learner = object.if_contains("isLearner")) {
    if (!learner->is_bool()) return false;
    to->set_islearner(learner->get_bool());
  }
  return take_strings(object, "peerURLs", to->mutable_peerurls()) &&
         take_strings(object, "clientURLs", to->mutable_clienturls());
}

Result<ClusterInfo> read(const http::response<http::string_body>& response) {
  if (response.result() != http::status::ok) return nonsense("HTTP status " + std::to_string(response.result_int()));
  ClusterInfo info;
  const std::string id(response[kClusterIdHeader]);
  const auto [end, wrong] = std::from_chars(id.data(), id.data() + id.size(), info.cluster_id, 16);
  if (id.empty() || wrong != std::errc() || end != id.data() + id.size()) return nonsense("no cluster id");
  error_code error;
  const json::value body = json::parse(response.body(), error);
  if (error || !body.is_array()) return nonsense("its body is no list");
  for (const json::value& item : body.get_array()) {
    etcdserverpb::Member member;
    if (!read_member(item, &member)) return nonsense("its list holds what is no member");
    info.members.push_back(std::move(member));
  }
  if (info.members.empty()) return nonsense("its list is empty");
  return info;
}

}  // namespace

std::string answer_peer_http(std::string_view path, uint64_t cluster_id,
                             const std::vector<etcdserverpb::Member>& members, std::string_view cluster_version) {
  if (path == "/members") {
    json::array all;
    for (const etcdserverpb::Member& member : members) all.push_back(value_of(member));
    return response("200 OK", "application/json", cluster_id, json::serialize(all) + "\n");
  }
  if (path == "/version") {
    json::object versions;
    versions["etcdserver"] = std::string(kServerVersion);
    versions["etcdcluster"] = std::string(cluster_version);
    return response("200 OK", "application/json", cluster_id, json::serialize(versions));
  }
  return response("404 Not Found", "text/plain; charset=utf-8", cluster_id, "404 page not found\n");
}

Result<ClusterInfo> read_members_response(std::string_view text) {
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxResponseBytes);
  parser.eager(true);
  error_code error;
  parser.put(asio::buffer(text.data(), text.size()), error);
  if (!error) parser.put_eof(error);
  if (error) return nonsense(error.message());
  return read(parser.get());
}

Result<ClusterInfo> fetch_members(const std::string& url, const std::shared_ptr<tls::Context>& tls,
                                  int64_t timeout_ms) {
  const auto response = raft::ask_peer(url, "/members", tls, timeout_ms);
  if (!response.ok()) return response.status();
  return read_members_response(*response);
}

}  // namespace kv::server
