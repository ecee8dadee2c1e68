// What kvd answers otherwise than etcd 3.4, on purpose: where a newer etcd differs, kvd follows the newer. This is
// the only place where a difference may be excused, and each entry says why.
#pragma once

#include <string>
#include <vector>

#include "conformance/differential/exchange.h"

namespace kv::differential {

struct Difference {
  std::string name;
  std::string reason;
  Request request;         // asks for the difference
  bool safe_for_a = true;  // false when etcd 3.4 does not survive the question
  Answer expected;         // kvd's answer: code and message, and the response where it is OK
};

// Each is asked once on a fresh key space; a random request never is one of them.
std::vector<Difference> known_differences();

// The same for the JSON gateways: any request by HTTP, and what ask_http() gives for etcd 3.4 still, and for kvd.
struct GatewayDifference {
  std::string name;
  std::string reason;
  std::string method;
  std::string path;
  std::string body;
  std::string a;
  std::string b;
};
std::vector<GatewayDifference> known_gateway_differences();

// What random requests come upon. The reason when the answers may differ in this way, empty otherwise. Not one of
// these: ties. Go's sort is not stable beyond twelve elements, so the generator keeps to twelve keys.
std::string excuse(const Request& request, const Answer& a, const Answer& b);

}  // namespace kv::differential
