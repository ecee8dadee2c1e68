#include "conformance/differential/differences.h"

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

}  // namespace kv::differential
