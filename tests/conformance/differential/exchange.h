// One request to one server, and its answer in the form in which answers are compared.
#pragma once

#include <string>

#include "conformance/differential/generator.h"
#include "harness/cluster.h"

namespace kv::differential {

// A masked answer: equal on both sides, or a difference.
struct Answer {
  grpc::StatusCode code = grpc::StatusCode::OK;
  std::string message = {};
  std::string response = {};  // protobuf text, ids and raft term masked; empty when the call failed
  int64_t revision = 0;       // header.revision, 0 when the call failed

  bool operator==(const Answer&) const = default;
  std::string to_string() const;
};

Answer ask(harness::Client& client, const Request& request);

// Sets cluster_id, member_id and raft_term to zero, in the header and in those of nested responses.
void mask(google::protobuf::Message& response);

}  // namespace kv::differential
