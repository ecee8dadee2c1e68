#include "api/rest/keys.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "api/json/http_call.h"
#include "api/json/json_writer.h"
#include "api/rest/form.h"
#include "base/check.h"
#include "server/call.h"
#include "server/key_tree.h"

namespace kv::api {
namespace {

using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;
using server::TreeAnswer;
using server::TreeError;
using server::TreeNode;
using server::TreeRequest;

using Reply = absl::AnyInvocable<void(HttpResponse)>;

constexpr std::string_view kPrefix = "/v2/keys";
// How often a call is decided anew because others changed the same keys meanwhile.
constexpr int kMaxTries = 100;

// As Go's encoder writes it, which is what v2's clients have always read.
void append_go_string(std::string_view text, std::string& out) {
  std::string json;
  append_json_string(text, json);
  for (size_t at = 0; at < json.size(); ++at) {
    const char c = json[at];
    const std::string_view three = std::string_view(json).substr(at, 3);
    if (c == '\\') {
      const char next = json[++at];
      if (next == 'b' || next == 'f') {
        out += next == 'b' ? "\\u0008" : "\\u000c";
      } else {
        out += c;
        out += next;
      }
    } else if (c == '<' || c == '>' || c == '&') {
      out += c == '<' ? "\\u003c" : c == '>' ? "\\u003e" : "\\u0026";
    } else if (three == "\xe2\x80\xa8" || three == "\xe2\x80\xa9") {
      out += three.back() == '\xa8' ? "\\u2028" : "\\u2029";
      at += 2;
    } else if (three == "\xef\xbf\xbd") {  // what was no UTF-8
      out += "\\ufffd";
      at += 2;
    } else {
      out += c;
    }
  }
}

// A tree is at most kMaxTreeDepth deep.
void append_node(const TreeNode& node, std::string& out) {
  char before = '{';
  const auto field = [&](std::string_view name) {
    out += before;
    before = ',';
    out.append("\"").append(name).append("\":");
  };
  if (!node.key.empty()) {
    field("key");
    append_go_string(node.key, out);
  }
  if (node.dir) {
    field("dir");
    out += "true";
  }
  if (node.value) {
    field("value");
    append_go_string(*node.value, out);
  }
  if (!node.nodes.empty()) {
    field("nodes");
    char separator = '[';
    for (const auto& [name, child] : node.nodes) {
      out += separator;
      separator = ',';
      append_node(child, out);
    }
    out += ']';
  }
  if (!node.key.empty()) {
    field("modifiedIndex");
    out += std::to_string(node.modified);
    field("createdIndex");
    out += std::to_string(node.created);
  }
  out += before == '{' ? "{}" : "}";
}

// Why a row of the table did not answer, in v2's terms.
TreeError error_of(const Status& status) {
  const std::string& text = status.text();
  if (status.code() == Code::kPermissionDenied || status.code() == Code::kUnauthenticated ||
      text == "etcdserver: user name is empty") {
    return {110, text};
  }
  if (text == "etcdserver: no leader" || text == "etcdserver: leader changed") return {301, text};
  return {status.code() == Code::kInvalidArgument ? 209 : 300, text};
}

// One call; belongs to the callbacks that it hands out.
class RestCall : public std::enable_shared_from_this<RestCall> {
 public:
  RestCall(const Row& txn, std::string cluster_id, std::shared_ptr<HttpRequest> http, Reply reply)
      : txn_(txn), cluster_id_(std::move(cluster_id)), http_(std::move(http)), reply_(std::move(reply)) {}

  // Whoever drops the call without an answer leaves nobody waiting.
  ~RestCall() {
    if (reply_) fail({300, "the call was dropped without an answer"});
  }
  RestCall(const RestCall&) = delete;
  RestCall& operator=(const RestCall&) = delete;

  void open() {
    int64_t timeout_ms = -1;
    if (const Status bad = fill_context(*call_, *http_, &timeout_ms); !bad.ok()) return fail({210, bad.text()});
    if (auto error = read_tree_request(*http_, kPrefix.size(), &request_)) return fail(*std::move(error));
    read();
  }

 private:
  void read() {
    ask(tree_read(request_), [this](const TxnResponse& read) {
      auto decided = decide_tree(request_, read);
      if (auto* answered = std::get_if<TreeAnswer>(&decided)) return answer(*answered);
      write(std::get<TxnRequest>(std::move(decided)), read);
    });
  }

  void write(TxnRequest change, TxnResponse read) {
    ask(std::move(change), [this, read = std::move(read)](const TxnResponse& written) {
      if (written.succeeded()) return answer(tree_written(request_, read, written));
      if (++tries_ < kMaxTries) return this->read();
      fail({300, "others change the same keys all the time"});
    });
  }

  template <typename Next>
  void ask(TxnRequest request, Next next) {
    txn_.unary(call_, std::make_unique<TxnRequest>(std::move(request)),
               [self = shared_from_this(), next = std::move(next)](const Status& status,
                                                                   const google::protobuf::Message* response) mutable {
                 if (!status.ok() || response == nullptr) return self->fail(error_of(status));
                 next(static_cast<const TxnResponse&>(*response));
               });
  }

  HttpResponse head(int64_t index) const {
    HttpResponse response;
    response.content_type = "application/json";
    response.headers.emplace_back("X-Etcd-Cluster-Id", cluster_id_);
    response.headers.emplace_back("X-Etcd-Index", std::to_string(index));
    return response;
  }

  void fail(const TreeError& error, int64_t index = 0) {
    HttpResponse response = head(index);
    response.status = server::tree_error_http_status(error.code);
    if (response.status == 401) response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"etcd\"");
    response.body = "{\"errorCode\":" + std::to_string(error.code) + ",\"message\":";
    append_go_string(server::tree_error_text(error.code), response.body);
    response.body += ",\"cause\":";
    append_go_string(error.cause, response.body);
    response.body += ",\"index\":" + std::to_string(index) + "}\n";
    std::exchange(reply_, nullptr)(std::move(response));
  }

  void answer(const TreeAnswer& answer) {
    if (answer.error) return fail(*answer.error, answer.index);
    HttpResponse response = head(answer.index);
    response.headers.emplace_back("X-Raft-Term", std::to_string(answer.term));
    response.status = answer.created ? 201 : 200;
    if (answer.action == "get" && answer.node.value && http_->header("accept").starts_with("text/plain")) {
      response.content_type = "text/plain; charset=utf-8";
      response.body = *answer.node.value;
      return std::exchange(reply_, nullptr)(std::move(response));
    }
    response.body = "{\"action\":\"" + answer.action + "\",\"node\":";
    append_node(answer.node, response.body);
    if (answer.before) {
      response.body += ",\"prevNode\":";
      append_node(*answer.before, response.body);
    }
    response.body += "}\n";
    std::exchange(reply_, nullptr)(std::move(response));
  }

  const Row& txn_;
  const std::string cluster_id_;
  const std::shared_ptr<HttpRequest> http_;
  Reply reply_;
  const std::shared_ptr<CallContext> call_ = std::make_shared<OwnCall>();
  TreeRequest request_;
  int tries_ = 0;
};

}  // namespace

std::vector<Route> rest_routes(const CallTable& table, uint64_t cluster_id) {
  const Row* const txn = table.find("/etcdserverpb.KV/Txn");
  KV_CHECK(txn != nullptr, "the table has the rows of KV");
  char hex[24];
  (void)std::snprintf(hex, sizeof hex, "%llx", static_cast<unsigned long long>(cluster_id));
  const HttpHandler serve = [txn, id = std::string(hex)](std::shared_ptr<HttpRequest> request, Reply reply) {
    std::make_shared<RestCall>(*txn, id, std::move(request), std::move(reply))->open();
  };
  std::vector<Route> routes;
  for (const char* method : {"GET", "PUT", "POST", "DELETE"}) {
    routes.push_back(Route{.method = method, .path = std::string(kPrefix), .handler = serve});
    routes.push_back(Route{.method = method, .path = std::string(kPrefix) + "/*", .handler = serve});
  }
  return routes;
}

}  // namespace kv::api
