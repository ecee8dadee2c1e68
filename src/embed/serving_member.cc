#include "embed/serving_member.h"

#include <utility>

#include "api/json/gateway.h"
#include "api/rest/cluster.h"
#include "api/rest/rest.h"
#include "api/services/all.h"
#include "api/services/ops.h"

namespace kv::embed {

ServingMember::ServingMember(std::unique_ptr<server::Member> member)
    : member_(std::move(member)), locks_(*member_), elections_(*member_), table_(&member_->gate()) {}

ServingMember::~ServingMember() = default;

Result<std::unique_ptr<ServingMember>> ServingMember::start(const server::MemberOptions& options,
                                                            const api::ServerOptions& doors,
                                                            std::function<void(Status)> failed) {
  auto member = server::Member::start(options, std::move(failed));
  if (!member.ok()) return member.status();
  std::unique_ptr<ServingMember> serving(new ServingMember(*std::move(member)));

  api::add_all_services(serving->table_, *serving->member_, serving->locks_, serving->elections_,
                        [&member = *serving->member_] { return member.leader() != 0; });
  auto routes = api::ops_routes(*serving->member_);
  for (auto& route : api::gateway_routes(serving->table_, {.max_request_bytes = doors.max_request_bytes})) {
    routes.push_back(std::move(route));
  }
  for (auto& route : api::rest_routes(*serving->member_)) routes.push_back(std::move(route));
  for (auto& route : api::rest_cluster_routes(serving->table_, *serving->member_)) routes.push_back(std::move(route));
  auto listening = api::Server::listen(doors, serving->table_, std::move(routes));
  if (!listening.ok()) return listening.status();
  serving->doors_ = *std::move(listening);
  serving->doors_->start();
  return serving;
}

void ServingMember::stop(int64_t drain_ms, int64_t hand_over_ms) {
  doors_->drain(drain_ms);
  member_->stop(hand_over_ms);
}

}  // namespace kv::embed
