// The call table: every call that kvd serves is one row. Doors are codecs over it: gRPC reads a row with
// protobuf, the JSON gateway reads the same row with JSON; authorisation and metrics wrap the row once. A new
// call is one row and one handler, and a row without a stated right does not compile.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/gate.h"

namespace kv::api {

enum class Kind : uint8_t { kUnary, kServerStream, kClientStream, kBidi };

using kv::Right;  // what a caller must hold

using MessagePtr = std::unique_ptr<google::protobuf::Message>;

// What a stream handler gets from the door. Bound to one call; both sides keep it alive while they use it.
// The handler sends through it from any thread; the door calls the two callbacks on its I/O thread, one at a time.
class ServerStream {
 public:
  virtual ~ServerStream() = default;
  virtual const CallPtr& call() const = 0;

  // As in kv::Sink.
  virtual bool write(const google::protobuf::Message& response) = 0;
  // As Sink::write_encoded. `prototype` is of the row's response type. A codec that sends protobuf's own bytes
  // overrides it; for all others the message is parsed.
  virtual bool write_encoded(const google::protobuf::Message& prototype, std::string_view own,
                             std::shared_ptr<const void> owner, std::string_view shared);
  virtual void finish(Status status) = 0;
  virtual size_t queued_bytes() const = 0;
  virtual void on_drained(size_t below_bytes, absl::AnyInvocable<void()> ready) = 0;

  // Set by the handler before it returns from starting. A request is the row's request type.
  std::function<void(MessagePtr)> on_request;
  std::function<void()> on_half_close;  // the client will send no more
  std::function<void()> on_cancel;      // the client is gone, or the deadline has passed; nothing more comes
  // Back-pressure on the client: no further on_request until resume_reading(). Any thread.
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
};

using UnaryDone = absl::AnyInvocable<void(Status, const google::protobuf::Message* response)>;

struct Row {
  std::string path;  // "/etcdserverpb.KV/Put"
  Kind kind = Kind::kUnary;
  Right right;
  // Where the right depends on what is asked (Alarm: everybody may list, root may end). Unary rows only.
  std::function<Right(const google::protobuf::Message&)> right_for = {};
  const google::protobuf::Message* request_prototype = nullptr;  // default instances: New() makes one
  const google::protobuf::Message* response_prototype = nullptr;
  // Unary. The request is the callee's. `done` is called exactly once, from any thread.
  std::function<void(CallPtr, MessagePtr request, UnaryDone done)> unary = {};
  // All streaming kinds: the request of a server stream arrives through on_request, followed by on_half_close.
  std::function<void(std::shared_ptr<ServerStream>)> stream = {};
};

class CallTable {
 public:
  // Every row that is added is wrapped by `gate`, so whichever door finds it finds it guarded. The gate must outlive
  // the table; without one (tables of tests, without a member) everybody may do everything.
  explicit CallTable(Gate* gate) : gate_(gate) {}

  // KV_CHECKs that the path is new.
  void add(Row row);
  // The row of "/package.Service/Method"; null when there is none. The pointer lives as long as the table.
  const Row* find(std::string_view path) const;
  const std::vector<std::unique_ptr<Row>>& rows() const { return rows_; }
  // "package.Service" of all rows, sorted, without duplicates (for reflection).
  std::vector<std::string> services() const;

 private:
  Gate* const gate_;
  std::vector<std::unique_ptr<Row>> rows_;
  std::unordered_map<std::string_view, const Row*> by_path_;  // keys point into rows_
};

// The row of a unary call: Request and Response are given, the rest follows.
template <typename Request, typename Response>
Row unary_row(std::string path, Right right,
              std::function<void(CallPtr, std::unique_ptr<Request>, Done<Response>)> handler) {
  Row row{.path = std::move(path), .kind = Kind::kUnary, .right = right};
  row.request_prototype = &Request::default_instance();
  row.response_prototype = &Response::default_instance();
  row.unary = [handler = std::move(handler)](CallPtr call, MessagePtr request, UnaryDone done) {
    handler(
        std::move(call), std::unique_ptr<Request>(static_cast<Request*>(request.release())),
        [done = std::move(done)](Status status, Response&& response) mutable { done(std::move(status), &response); });
  };
  return row;
}

template <typename Request, typename Response>
Row stream_row(std::string path, Kind kind, Right right, std::function<void(std::shared_ptr<ServerStream>)> handler) {
  Row row{.path = std::move(path), .kind = kind, .right = right};
  row.request_prototype = &Request::default_instance();
  row.response_prototype = &Response::default_instance();
  row.stream = std::move(handler);
  return row;
}

}  // namespace kv::api
