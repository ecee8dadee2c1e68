#include "api/json/gateway.h"

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "api/json/http_call.h"
#include "api/json/json_writer.h"
#include "api/json/paths.h"
#include "base/check.h"

namespace kv::api {
namespace {

constexpr std::string_view kOldPrefix = "/v3beta/";
constexpr std::string_view kPrefix = "/v3/";

class Gateway {
 public:
  Gateway(const CallTable& table, const GatewayOptions& options) : options_(options) {
    for (const GatewayPath& path : gateway_paths()) {
      Entry& entry = by_path_[path.http];
      entry.call = path.call;
      const Row* const row = table.find(path.call);
      if (row == nullptr) continue;
      KV_CHECK(json_can_carry(*row->request_prototype->GetDescriptor()), "no JSON for the request of " + row->path);
      KV_CHECK(json_can_carry(*row->response_prototype->GetDescriptor()), "no JSON for the response of " + row->path);
      entry.method = std::make_unique<Method>(method_of(*row));
    }
  }

  void serve(std::shared_ptr<HttpExchange> exchange) const {
    const HttpRequest& request = exchange->request();
    std::string path = request.path;
    if (path.starts_with(kOldPrefix)) path.replace(0, kOldPrefix.size(), kPrefix);
    const auto found = by_path_.find(path);
    if (found == by_path_.end()) return exchange->respond(json_error({Code::kNotFound, "Not Found"}));
    if (request.method != "POST") {
      return exchange->respond(json_error({Code::kUnimplemented, "Method Not Allowed"}));
    }
    const Entry& entry = found->second;
    if (!entry.method) {
      return exchange->respond(json_error({Code::kUnimplemented, "unknown method " + std::string(entry.call)}));
    }
    const bool unary = entry.method->row->kind == Kind::kUnary;
    (unary ? open_unary_call : open_stream_call)({std::move(exchange), *entry.method, options_.max_request_bytes});
  }

 private:
  struct Entry {
    std::string_view call;
    std::unique_ptr<Method> method;  // null: the table has no such row
  };

  const GatewayOptions options_;
  std::unordered_map<std::string_view, Entry> by_path_;
};

}  // namespace

std::vector<Route> gateway_routes(const CallTable& table, const GatewayOptions& options) {
  const auto gateway = std::make_shared<const Gateway>(table, options);
  const auto serve = [gateway](std::shared_ptr<HttpExchange> exchange) { gateway->serve(std::move(exchange)); };
  return {Route{.method = "", .path = std::string(kPrefix) + "*", .stream = serve},
          Route{.method = "", .path = std::string(kOldPrefix) + "*", .stream = serve}};
}

}  // namespace kv::api
