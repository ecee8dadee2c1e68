// The Lock and Election services.
#include "api/services/recipes.h"

#include "api/services/stream_sink.h"

namespace kv::api {
namespace {

// The row of a unary call that a method of `service` answers.
template <typename Service, typename Request, typename Response>
Row service_row(std::string path, Service& service,
                void (Service::*method)(CallPtr, std::unique_ptr<Request>, Done<Response>)) {
  return unary_row<Request, Response>(
      std::move(path), Right::kKeys,
      [&service, method](CallPtr call, std::unique_ptr<Request> request, Done<Response> done) {
        (service.*method)(std::move(call), std::move(request), std::move(done));
      });
}

}  // namespace

void add_lock(CallTable& table, server::Locks& locks) {
  using server::Locks;
  table.add(service_row("/v3lockpb.Lock/Lock", locks, &Locks::lock));
  table.add(service_row("/v3lockpb.Lock/Unlock", locks, &Locks::unlock));
}

void add_election(CallTable& table, server::Elections& elections) {
  using server::Elections;
  using v3electionpb::LeaderRequest;
  using v3electionpb::LeaderResponse;
  table.add(service_row("/v3electionpb.Election/Campaign", elections, &Elections::campaign));
  table.add(service_row("/v3electionpb.Election/Proclaim", elections, &Elections::proclaim));
  table.add(service_row("/v3electionpb.Election/Leader", elections, &Elections::leader));
  table.add(service_row("/v3electionpb.Election/Resign", elections, &Elections::resign));
  table.add(stream_row<LeaderRequest, LeaderResponse>(
      "/v3electionpb.Election/Observe", Kind::kServerStream, Right::kKeys,
      [&elections](const std::shared_ptr<ServerStream>& stream) {
        stream->on_request = [&elections, weak = std::weak_ptr(stream)](MessagePtr message) {
          const auto self = weak.lock();
          if (!self) return;
          elections.observe(self->call(), static_cast<const LeaderRequest&>(*message),
                            std::make_shared<StreamSink<LeaderResponse>>(self));
        };
      }));
}

}  // namespace kv::api
