// The endpoints of a client, who it is to them, and the one loop through which every unary call goes. Internal.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "client/client.h"
#include "client/endpoints.h"
#include "client/retry.h"

namespace kv::client {

Status to_status(const grpc::Status& from);
void set_deadline(grpc::ClientContext& context, SteadyTime deadline);
void put_token(grpc::ClientContext& context, const std::string& token);  // empty: none

// Whether `status` says that the token is no longer good; with a name and a password there is another.
bool token_refused(const Status& status);

// Any thread may call any function.
class Calls {
 public:
  Calls(ClientOptions options, Dialer dialer, std::vector<std::unique_ptr<Endpoint>> endpoints);

  // What is known of a call behind its attempts.
  struct History {
    Repeat repeat = Repeat::kUnsafe;
    Status last{};  // what it answers if there is no other attempt
    bool logged_in_again = false;
  };
  // Whether a call that ended with `status` on `endpoint` is to be tried again; `history.last` is its answer else.
  bool try_again(History& history, const Status& status, Endpoint& endpoint, bool elsewhere = true);
  // The same behind a login on `endpoint`: the call itself was not sent, so a write may be tried again too.
  bool try_login_again(History& history, const Status& status, Endpoint& endpoint);
  // What a call answers for which no endpoint could be reached, behind what came of the attempts before.
  static Status unreachable(const History& history, const Status& unreachable);
  SteadyTime deadline_of(const CallOptions& call) const;
  // Before attempt number `attempt`.
  std::chrono::microseconds pause(size_t attempt);

  // Steps of a call that doesn't wait: see EndpointSet.
  Endpoint* ready() const { return endpoints_.ready(); }
  Connecting connecting() const { return endpoints_.connecting(); }
  void prefer(const Endpoint* endpoint) { endpoints_.prefer(endpoint); }

  using Attempt = std::function<grpc::Status(Endpoint&, grpc::ClientContext&)>;

  // Runs `attempt` on some endpoint, or on `only`, and again where retry.h allows.
  Status run(Repeat repeat, const CallOptions& call, const Attempt& attempt, Endpoint* only = nullptr);
  // As run(), for a call to the member at `name`.
  Status run_on(std::string_view name, const CallOptions& call, const Attempt& attempt);

  // What a stream needs: an endpoint to be on, and a word when that was no good.
  Result<Endpoint*> pick(SteadyTime deadline, std::stop_token stop) { return endpoints_.pick(deadline, stop); }
  void move_on_from(const Endpoint* endpoint) { endpoints_.move_on_from(endpoint); }
  // Puts the token into the call, and gets one first when there is a user and none yet; a stop ends the wait for it.
  Status authorise(Endpoint& endpoint, grpc::ClientContext& context, SteadyTime deadline, std::stop_token stop = {});
  void forget_token();

  // Steps of authorise(), for who doesn't wait. The token, empty for none; or nothing: one has to be got first.
  std::optional<std::string> token();
  etcdserverpb::AuthenticateRequest login() const;
  // What the answer to login() means: the token, which is kept for the calls to come, or an error.
  Result<std::string> logged_in(const Status& status, etcdserverpb::AuthenticateResponse&& response);

  const ClientOptions& options() const { return options_; }
  size_t endpoint_count() const { return endpoints_.size(); }

 private:
  bool pause_before(size_t attempt, SteadyTime deadline);
  Result<Endpoint*> choose(Endpoint* only, SteadyTime deadline);

  const ClientOptions options_;
  const Dialer dialer_;
  EndpointSet endpoints_;
  std::mutex mutex_;   // guards the two below
  std::string token_;  // empty: none
  Random random_;
};

}  // namespace kv::client
