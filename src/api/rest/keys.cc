// /v2/keys, all but waiting.
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "api/json/http_call.h"
#include "api/net/router.h"
#include "api/rest/form.h"
#include "api/rest/node_json.h"
#include "api/rest/rest.h"
#include "api/rest/stats.h"
#include "api/rest/wait.h"
#include "server/call.h"

namespace kv::api {
namespace {

using kvdpb::NodeRequest;
using kvdpb::NodeResponse;
using Reply = absl::AnyInvocable<void(HttpResponse)>;

constexpr std::string_view kPrefix = "/v2/keys";

// One call; belongs to the callbacks that it hands out.
class KeysCall : public std::enable_shared_from_this<KeysCall> {
 public:
  KeysCall(server::Member& member, std::string accept, bool bare, Reply reply)
      : member_(member), accept_(std::move(accept)), bare_(bare), reply_(std::move(reply)) {}

  void run(CallPtr call, NodeRequest request) {
    auto ask = [self = shared_from_this(), call, request = std::move(request)]() mutable {
      self->member_.node(std::move(call), std::make_unique<NodeRequest>(std::move(request)),
                         [self](const Status& status, const NodeResponse& response) {
                           status.ok() ? self->answer(response)
                                       : self->reply_(node_failure(status, self->member_.cluster_id()));
                         });
    };
    if (!member_.gate().closed()) return ask();
    member_.gate().admit(std::move(call), Right::kKeys,
                         [self = shared_from_this(), ask = std::move(ask)](const Status& admitted) mutable {
                           admitted.ok() ? ask() : self->reply_(node_failure(admitted, self->member_.cluster_id()));
                         });
  }

 private:
  void answer(const NodeResponse& response) {
    const uint64_t cluster_id = member_.cluster_id();
    const int64_t index = response.header().revision();
    if (response.error_code() != 0) {
      return reply_(node_error_response({response.error_code(), response.cause()}, cluster_id, index));
    }
    HttpResponse out;
    add_node_headers(&out, cluster_id, index);
    add_raft_headers(&out, static_cast<uint64_t>(response.raft_index()), response.header().raft_term());
    const std::string& action = response.action();
    const bool created = action == "create" || (action == "set" && !response.has_prev_node());
    out.status = created ? 201 : 200;
    if (action == "get" && response.node().has_value() && accept_.starts_with("text/plain")) {
      out.body = response.node().value();
    } else {
      out.content_type = "application/json";
      const bool writes = action == "set" || action == "create" || action == "update" || action == "compareAndSwap";
      out.body = node_answer(response, writes && bare_);
    }
    reply_(std::move(out));
  }

  server::Member& member_;
  const std::string accept_;
  const bool bare_;  // noValueOnSuccess
  Reply reply_;
};

void serve(server::Member& member, const HttpRequest& http, const std::shared_ptr<HttpExchange>& exchange,
           const std::shared_ptr<std::atomic<int64_t>>& waits, Reply reply) {
  CallPtr call;
  if (exchange) {
    call = std::make_shared<ExchangeCall>(exchange);
    exchange->on_cancel = [call] { call->cancel(); };
  } else {
    call = std::make_shared<OwnCall>();
  }
  int64_t timeout_ms = -1;
  NodeCall parsed;
  std::optional<NodeError> bad;
  if (const Status status = fill_context(*call, http, &timeout_ms); !status.ok()) bad = NodeError{210, status.text()};
  if (!bad) bad = read_node_call(http, kPrefix.size(), &parsed);
  if (bad) return reply(node_error_response(*bad, member.cluster_id(), 0));
  // etcd: a read through the quorum waits for nothing.
  if (parsed.wait && !parsed.node.quorum() && exchange)
    return open_wait(member, exchange, call, std::move(parsed), waits);
  std::make_shared<KeysCall>(member, std::string(http.header("accept")), parsed.no_value_on_success, std::move(reply))
      ->run(call, std::move(parsed.node));
}

}  // namespace

HttpResponse node_failure(const Status& status, uint64_t cluster_id) {
  const std::string& text = status.text();
  if (is_unauthorized(status)) {
    HttpResponse response = node_error_response({110, text}, cluster_id, 0);
    ask_for_password(status, &response);
    return response;
  }
  const bool election = text == "etcdserver: no leader" || text == "etcdserver: leader changed";
  HttpResponse response = node_error_response({election ? 301 : 300, text}, cluster_id, 0);
  if (text == "etcdserver: request is too large") response.status = 413;
  if (text == "etcdserver: too many requests") response.status = 429;
  return response;
}

std::vector<Route> rest_routes(server::Member& member) {
  const auto waits = std::make_shared<std::atomic<int64_t>>(0);
  const HttpHandler handler = [&member](const std::shared_ptr<HttpRequest>& request, Reply reply) {
    serve(member, *request, nullptr, nullptr, std::move(reply));
  };
  const HttpStreamHandler reader = [&member, waits](const std::shared_ptr<HttpExchange>& exchange) {
    serve(member, exchange->request(), exchange, waits,
          [exchange](HttpResponse response) { exchange->respond(std::move(response)); });
  };
  const HttpHandler not_allowed = [](const std::shared_ptr<HttpRequest>& request, Reply reply) {
    std::string path;
    if (const auto error = read_node_path(*request, kPrefix.size(), &path))
      return reply(node_error_response(*error, 0, 0));
    HttpResponse response = plain_error(405, "Method Not Allowed");
    response.headers.emplace_back("Allow", "HEAD,GET,PUT,POST,DELETE");
    reply(std::move(response));
  };
  std::vector<Route> routes = stats_routes(member, waits);
  for (const std::string& path : {std::string(kPrefix), std::string(kPrefix) + "/*"}) {
    routes.push_back({.method = "GET", .path = path, .handler = handler, .stream = reader});
    for (const char* method : {"PUT", "POST", "DELETE"})
      routes.push_back({.method = method, .path = path, .handler = handler});
    routes.push_back({.method = "", .path = path, .handler = not_allowed});
  }
  return routes;
}

}  // namespace kv::api
