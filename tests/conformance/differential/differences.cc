#include "conformance/differential/differences.h"

#include <algorithm>
#include <initializer_list>

namespace kv::differential {
namespace {

namespace pb = etcdserverpb;

pb::RangeRequest get(const std::string& key) {
  pb::RangeRequest request;
  request.set_key(key);
  return request;
}

}  // namespace

std::vector<Difference> known_differences() {
  std::vector<Difference> all;

  const Answer invalid_sort{.code = grpc::StatusCode::INVALID_ARGUMENT, .message = "etcdserver: invalid sort option"};
  pb::RangeRequest target = get("a");
  target.set_sort_order(pb::RangeRequest::ASCEND);
  target.set_sort_target(static_cast<pb::RangeRequest::SortTarget>(100));
  all.push_back({"sort target outside of the enumeration", "etcd 3.4 panics while it applies; newer ones refuse it",
                 target, false, invalid_sort});
  pb::RangeRequest order = get("a");
  order.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(100));
  all.push_back({"sort order outside of the enumeration", "etcd 3.4 ignores it; newer ones refuse it", order, true,
                 invalid_sort});
  return all;
}

std::vector<GatewayDifference> known_gateway_differences() {
  const std::string by_json = "etcd 3.4's gateway (grpc-gateway 1) says it in plain text, newer ones (2) in JSON";
  const std::string plain = "text/plain";
  const std::string json = "application/json";
  return {
      {"unknown path", by_json, "POST", "/v3/nope", "{}", "404 " + plain, "404 " + json},
      {"wrong method", "etcd 3.4 answers 405, newer ones 501", "GET", "/v3/kv/range", "", "405 " + plain,
       "501 " + json},
      {"failed precondition", "etcd 3.4 answers 412, newer ones 400", "POST", "/v3/maintenance/transfer-leadership",
       R"({"targetID":"12345"})", "412 " + json, "400 " + json},
      {"a name that comes twice", "etcd 3.4 takes the last, newer ones refuse it", "POST", "/v3/kv/range",
       R"({"key":"YQ==","limit":1,"limit":2})", "200 " + json, "400 " + json},
      {"base64 without its padding", "etcd 3.4 refuses it, newer ones take it", "POST", "/v3/kv/range",
       R"({"key":"YQ"})", "400 " + json, "200 " + json},
      {"base64 of the URL alphabet", "etcd 3.4 refuses it, newer ones take it", "POST", "/v3/kv/range",
       R"({"key":"-_8="})", "400 " + json, "200 " + json},
  };
}

std::string excuse(const Request& request, const Answer& a, const Answer& b) {
  const auto one_of = [](const Answer& answer, std::initializer_list<const char*> texts) {
    return answer.code != grpc::StatusCode::OK && std::find(texts.begin(), texts.end(), answer.message) != texts.end();
  };
  if (std::holds_alternative<pb::TxnRequest>(request) &&
      one_of(a, {"etcdserver: key not found", "etcdserver: requested lease not found"}) &&
      one_of(b, {"etcdserver: mvcc: required revision is a future revision",
                 "etcdserver: mvcc: required revision has been compacted"})) {
    return "of several invalid operations in a transaction etcd 3.4 names the first put, newer ones the first of any "
           "kind";
  }
  if (std::holds_alternative<pb::TxnRequest>(request) && one_of(a, {"etcdserver: key not found"}) &&
      one_of(b, {"etcdserver: requested lease not found"})) {
    return "of a put in a transaction with an unknown lease and no previous value etcd 3.4 names the value, newer ones "
           "the lease, as outside of a transaction";
  }
  return "";
}

}  // namespace kv::differential
