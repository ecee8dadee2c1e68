// A member with users and roles behind all of its doors, and callers of every kind in front of them.
//
//   root    may do everything
//   alice   may read and write [a, b)
//   bob     is a user and may nothing
#pragma once

#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/call_table.h"
#include "api/net/server.h"
#include "server/elections.h"
#include "server/locks.h"
#include "server/members_fixture.h"

namespace kv::test {

// What came back, whichever door it came through.
struct Heard {
  bool answered = false;  // a message came, or a good end
  std::string text;       // of the error, and the bytes of the first message
  std::string bytes;      // of that message
  int code = 0;           // gRPC's; behind the JSON gateway that of HTTP

  bool has(std::string_view part) const { return text.find(part) != std::string::npos; }
  bool names_nobody() const { return has("etcdserver: user name is empty"); }
  bool has_invalid_token() const { return has("etcdserver: invalid auth token"); }
  bool is_denied() const { return has("etcdserver: permission denied"); }
  bool is_admitted() const { return !names_nobody() && !has_invalid_token() && !is_denied(); }
};

class AuthDoors : public testing::Test {
 protected:
  AuthDoors();
  ~AuthDoors() override;

  // ---- what a test prepares, with no need of rights ----
  template <typename Request, typename Response>
  Response must(void (server::Member::*method)(CallPtr, std::unique_ptr<Request>, Done<Response>),
                const Request& request) {
    auto answer = server::call(*member_, method, request, OwnCall::of_member());
    EXPECT_TRUE(answer.status.ok()) << answer.status.to_string();
    return std::move(answer.response);
  }
  void add_user(const std::string& name, const std::string& password);
  void add_role(const std::string& name);
  void grant(const std::string& role, authpb::Permission::Type type, const std::string& key,
             const std::string& range_end);
  void give_role(const std::string& user, const std::string& role);
  void put(const std::string& key, const std::string& value, int64_t lease = 0);
  // A new lease with this key on it.
  int64_t lease_with(const std::string& key);
  // By the member's own call, so through no door.
  std::string token_of(const std::string& user, const std::string& password);

  // ---- through the doors ----
  // Sends one message, and hears what comes first. `token`: none when nullopt.
  Heard by_grpc(const std::string& path, const google::protobuf::Message& request,
                const std::optional<std::string>& token, const std::string& token_key = "token");
  Heard by_json(const std::string& path, const std::string& body, const std::optional<std::string>& token,
                const std::string& more_headers = "");
  static std::string json_of(const google::protobuf::Message& request);

  server::TempDirectory directory_;
  server::MemberOptions options_;
  std::unique_ptr<server::Member> member_;
  std::unique_ptr<server::Locks> locks_;
  std::unique_ptr<server::Elections> elections_;
  std::unique_ptr<api::CallTable> table_;
  std::unique_ptr<api::Server> door_;
  std::string alice_, bob_, root_;  // their tokens
};

}  // namespace kv::test
