// The Lock and Election services.
#include "api/services/recipes.h"

namespace kv::api {
namespace {

// A stream's sending half, for a handler that knows no doors.
template <typename Response>
class StreamSink final : public Sink<Response> {
 public:
  explicit StreamSink(std::shared_ptr<ServerStream> stream) : stream_(std::move(stream)) {}
  bool write(const Response& response) override { return stream_->write(response); }
  void finish(Status status) override { stream_->finish(std::move(status)); }
  size_t queued_bytes() const override { return stream_->queued_bytes(); }
  void on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) override {
    stream_->on_drained(below_bytes, std::move(ready));
  }

 private:
  const std::shared_ptr<ServerStream> stream_;
};

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
