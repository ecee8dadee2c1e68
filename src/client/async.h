// Calls that don't wait: the answer comes by a callback or in a std::future.
//
//   Async async(client);
//   std::future<Result<PutResponse>> one = async.put("a", "1");
//   std::future<Result<PutResponse>> two = async.put("b", "2");                 // both are on their way
//   async.get("c", {}, {}, [](Result<GetResponse> got) { ... });
//
// They go as the client's other calls go: the same endpoints, deadlines and tokens, the same rules for what is sent
// again. What is on its way together may be carried out in any order; who needs an order waits for the answer.
//
// Each call is answered exactly once; when the client goes before the answer came, with Canceled. Callbacks run on the
// client's callback thread (see WatchCallbacks): one at a time, and they may make calls of this kind, but not wait for
// them.
//
// At most ClientOptions::async_calls_max calls of a client and its views are on their way or wait for their callback.
// One more is answered with ResourceExhausted: wait for another one first. What is refused like that, or for its
// arguments, is answered before the function returns, its callback on the caller's thread.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string_view>

#include "base/status.h"
#include "client/client.h"

namespace kv::client {

class AsyncCalls;

// Any thread may call any function. It may outlive the client that it is of, and is then one of those that have its
// connections: see Client::in_namespace().
class Async {
 public:
  explicit Async(const Client& client);
  ~Async();
  Async(const Async&) = delete;
  Async& operator=(const Async&) = delete;

  template <typename Response>
  using Callback = std::function<void(Result<Response>)>;

  void get(std::string_view key, const GetOptions& options, const CallOptions& call, Callback<GetResponse> then);
  void put(std::string_view key, std::string_view value, const PutOptions& options, const CallOptions& call,
           Callback<PutResponse> then);
  void remove(std::string_view key, const RemoveOptions& options, const CallOptions& call,
              Callback<RemoveResponse> then);
  void commit(const Txn& txn, const CallOptions& call, Callback<TxnResponse> then);

  std::future<Result<GetResponse>> get(std::string_view key, const GetOptions& options = {},
                                       const CallOptions& call = {});
  std::future<Result<PutResponse>> put(std::string_view key, std::string_view value, const PutOptions& options = {},
                                       const CallOptions& call = {});
  std::future<Result<RemoveResponse>> remove(std::string_view key, const RemoveOptions& options = {},
                                             const CallOptions& call = {});
  std::future<Result<TxnResponse>> commit(const Txn& txn, const CallOptions& call = {});

 private:
  struct Parts;
  const std::unique_ptr<const Parts> parts_;
};

}  // namespace kv::client
