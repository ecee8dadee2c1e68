// Nodes and errors as the JSON of etcd's v2 API.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "api/net/http.h"
#include "api/rest/form.h"
#include "base/status.h"

namespace kv::api {

std::string_view node_error_text(int code);
int node_error_http_status(int code);

// As Go's encoder writes strings, which is what v2's clients have always read; bytes that are no UTF-8 become U+FFFD.
void append_go_string(std::string_view text, std::string& out);
void append_node(const kvdpb::Node& node, std::string& out);
// {"action":...,"node":...,"prevNode":...} and a line's end.
std::string node_answer(const kvdpb::NodeResponse& response, bool without_nodes = false);

// {"message":...}, which is how errors are told beside /v2/keys.
HttpResponse message_response(int status, std::string_view text);
HttpResponse message_response(const Status& status);
// Whether the caller has no right to it, or has not said who it is: 401, as etcd 2 answers both.
bool is_unauthorized(const Status& status);
// So that a browser asks for the password, unless it is known who that is and another would be needed.
void ask_for_password(const Status& status, HttpResponse* response);
// 2026-01-02T03:04:05.678Z
std::string utc_time(int64_t unix_ms);

HttpResponse node_error_response(const NodeError& error, uint64_t cluster_id, int64_t index);
// X-Etcd-Cluster-Id and X-Etcd-Index.
void add_node_headers(HttpResponse* response, uint64_t cluster_id, int64_t index);
// X-Raft-Index and X-Raft-Term, of what is no error.
void add_raft_headers(HttpResponse* response, uint64_t index, uint64_t term);

}  // namespace kv::api
