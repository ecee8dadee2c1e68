#include "client/async.h"

#include <utility>

#include "client/async_calls.h"
#include "client/convert.h"
#include "client/namespace.h"
#include "client/streams.h"

namespace kv::client {

namespace pb = etcdserverpb;

struct Async::Parts {
  std::shared_ptr<Calls> calls;
  std::shared_ptr<Streams> streams;
  Namespace space;
  std::shared_ptr<AsyncCalls> async;

  // How each of the four goes. Futures are kept by the thread that learns of the end, callbacks run on their own.
  template <typename Response, typename Request, typename Prepare>
  void start(Status checked, Repeat repeat, Request request, const CallOptions& call, Prepare prepare,
             std::function<void(std::shared_ptr<void>, Result<decltype(from_proto(Response()))>)> then) const {
    if (!checked.ok()) return then(nullptr, checked);
    struct Exchange {
      Request request;
      Response response{};
      std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader{};
    };
    auto exchange = std::make_shared<Exchange>(Exchange{std::move(request)});
    async->submit(
        repeat, call,
        [exchange, prepare](Endpoint& endpoint, grpc::ClientContext* context, grpc::CompletionQueue* queue,
                            grpc::Status* status, void* tag) {
          exchange->response.Clear();
          exchange->reader = ((*endpoint.kv).*prepare)(context, exchange->request, queue);
          exchange->reader->StartCall();
          exchange->reader->Finish(&exchange->response, status, tag);
        },
        [exchange, then = std::move(then), space = space](const Status& status, std::shared_ptr<void> slot) {
          if (!status.ok()) return then(std::move(slot), status);
          auto answer = from_proto(std::move(exchange->response));
          if (!space.is_all()) space.strip(answer);
          then(std::move(slot), std::move(answer));
        });
  }

  template <typename Response>
  auto by_callback(Callback<Response> callback) const {
    return [callback = std::move(callback), loop = async->callbacks()](std::shared_ptr<void> slot,
                                                                       Result<Response> result) {
      if (slot == nullptr) return callback(std::move(result));  // refused, on the caller's thread
      loop->post([callback, slot = std::move(slot), result = std::move(result)]() mutable {
        slot.reset();  // so that the callback may make the next call
        callback(std::move(result));
      });
    };
  }

  template <typename Response>
  static auto by_future(std::future<Result<Response>>& future) {
    auto promise = std::make_shared<std::promise<Result<Response>>>();
    future = promise->get_future();
    return [promise](std::shared_ptr<void> slot, Result<Response> result) {
      slot.reset();
      promise->set_value(std::move(result));
    };
  }

  template <typename Then>
  void get(std::string_view key, const GetOptions& options, const CallOptions& call, Then then) const {
    auto request = to_proto(key, options);
    space.widen(request);
    start<pb::RangeResponse>(space.check(key), Repeat::kSafe, std::move(request), call,
                             &pb::KV::Stub::PrepareAsyncRange, std::move(then));
  }
  template <typename Then>
  void put(std::string_view key, std::string_view value, const PutOptions& options, const CallOptions& call,
           Then then) const {
    auto request = to_proto(key, value, options);
    space.widen(request);
    start<pb::PutResponse>(space.check(key), Repeat::kUnsafe, std::move(request), call, &pb::KV::Stub::PrepareAsyncPut,
                           std::move(then));
  }
  template <typename Then>
  void remove(std::string_view key, const RemoveOptions& options, const CallOptions& call, Then then) const {
    auto request = to_proto(key, options);
    space.widen(request);
    start<pb::DeleteRangeResponse>(space.check(key), Repeat::kUnsafe, std::move(request), call,
                                   &pb::KV::Stub::PrepareAsyncDeleteRange, std::move(then));
  }
  template <typename Then>
  void commit(const Txn& txn, const CallOptions& call, Then then) const {
    start<pb::TxnResponse>(space.check(txn), txn.read_only() ? Repeat::kSafe : Repeat::kUnsafe,
                           to_proto(space.is_all() ? txn : space.txn(txn)), call, &pb::KV::Stub::PrepareAsyncTxn,
                           std::move(then));
  }
};

Async::Async(const Client& client)
    : parts_(new Parts{client.calls_, client.streams_, *client.space_,
                       client.streams_->get(client.streams_->async, client.calls_)}) {}

Async::~Async() = default;

void Async::get(std::string_view key, const GetOptions& options, const CallOptions& call, Callback<GetResponse> then) {
  parts_->get(key, options, call, parts_->by_callback(std::move(then)));
}
void Async::put(std::string_view key, std::string_view value, const PutOptions& options, const CallOptions& call,
                Callback<PutResponse> then) {
  parts_->put(key, value, options, call, parts_->by_callback(std::move(then)));
}
void Async::remove(std::string_view key, const RemoveOptions& options, const CallOptions& call,
                   Callback<RemoveResponse> then) {
  parts_->remove(key, options, call, parts_->by_callback(std::move(then)));
}
void Async::commit(const Txn& txn, const CallOptions& call, Callback<TxnResponse> then) {
  parts_->commit(txn, call, parts_->by_callback(std::move(then)));
}

std::future<Result<GetResponse>> Async::get(std::string_view key, const GetOptions& options, const CallOptions& call) {
  std::future<Result<GetResponse>> future;
  parts_->get(key, options, call, Parts::by_future(future));
  return future;
}
std::future<Result<PutResponse>> Async::put(std::string_view key, std::string_view value, const PutOptions& options,
                                            const CallOptions& call) {
  std::future<Result<PutResponse>> future;
  parts_->put(key, value, options, call, Parts::by_future(future));
  return future;
}
std::future<Result<RemoveResponse>> Async::remove(std::string_view key, const RemoveOptions& options,
                                                  const CallOptions& call) {
  std::future<Result<RemoveResponse>> future;
  parts_->remove(key, options, call, Parts::by_future(future));
  return future;
}
std::future<Result<TxnResponse>> Async::commit(const Txn& txn, const CallOptions& call) {
  std::future<Result<TxnResponse>> future;
  parts_->commit(txn, call, Parts::by_future(future));
  return future;
}

}  // namespace kv::client
