// A call that comes as plain HTTP: what its headers say of the caller, and how its end is told. In etcd's words, which
// are those of grpc-gateway 2 with the older one's names beside them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "api/method.h"
#include "api/net/http.h"
#include "base/status.h"
#include "server/call.h"

namespace kv::api {

// A call of the gateway that is being opened.
struct HttpCall {
  std::shared_ptr<HttpExchange> exchange;
  const Method& method;
  size_t max_request_bytes;

  size_t max_body_bytes() const { return 2 * max_request_bytes; }
};

// A call whose work is done on its exchange's thread.
class ExchangeCall final : public CallContext {
 public:
  explicit ExchangeCall(std::shared_ptr<HttpExchange> exchange) : exchange_(std::move(exchange)) {}
  void post(absl::AnyInvocable<void()> work) override { exchange_->post(std::move(work)); }

 private:
  const std::shared_ptr<HttpExchange> exchange_;
};

// Answer the exchange. The calls belong to their exchange, and end with it.
void open_unary_call(const HttpCall& call);
void open_stream_call(const HttpCall& call);

// Fills everything but certificate_user: a client certificate names the gateway's client and never the user
// (CVE-2018-16886). Users come by token or by HTTP Basic. `timeout_ms` is what a Grpc-Timeout header asks for, else -1.
Status fill_context(CallContext& context, const HttpRequest& request, int64_t* timeout_ms);

int http_status(Code code);
// The head of an answer that is not an error, with the call's own headers.
HttpResponse json_head(const CallContext& context);
// {"error":...,"code":...,"message":...}
HttpResponse json_error(const Status& status);
// {"error":{...}} and a line's end: the last line of a stream.
std::string stream_error(const Status& status);

// InvalidArgument and the like for bodies above the limits.
Status body_too_large(size_t limit);
Status message_too_large(size_t bytes, size_t limit);

}  // namespace kv::api
