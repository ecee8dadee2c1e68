// Users, roles and what they may, for those who administer a cluster.
//
//   auto auth = kv::client::Auth::create({.user = "root", .password = "..."});
//   (*auth)->user_add("alice", "her password");
//   (*auth)->role_add("writer");
//   (*auth)->role_grant_permission("writer", {.key = "/app/", .range_end = kv::client::prefix_end("/app/")});
//   (*auth)->user_grant_role("alice", "writer");
//
// It has connections of its own, and the rules of client.h: any thread, blocking calls, errors with etcd's texts.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "client/client.h"

namespace kv::client {

struct Permission {
  enum class Kind : uint8_t { kRead = 0, kWrite = 1, kReadWrite = 2 } kind = Kind::kReadWrite;
  std::string key{};
  std::string range_end{};  // as in GetOptions
};

// The answer to what says no more than that it was done.
struct AuthResponse {
  ResponseHeader header{};
};
struct AuthStatusResponse {
  ResponseHeader header{};
  bool enabled = false;
  uint64_t revision = 0;
};
struct NamesResponse {
  ResponseHeader header{};
  std::vector<std::string> names{};
};
struct RoleGetResponse {
  ResponseHeader header{};
  std::vector<Permission> permissions{};
};

class Auth {
 public:
  // As Client::create().
  static Result<std::unique_ptr<Auth>> create(ClientOptions options);
  ~Auth();

  Result<AuthStatusResponse> status(const CallOptions& call = {});
  Result<AuthResponse> enable(const CallOptions& call = {});
  Result<AuthResponse> disable(const CallOptions& call = {});

  Result<AuthResponse> user_add(std::string_view name, std::string_view password, const CallOptions& call = {});
  // Comes by a client certificate only.
  Result<AuthResponse> user_add_without_password(std::string_view name, const CallOptions& call = {});
  Result<AuthResponse> user_delete(std::string_view name, const CallOptions& call = {});
  Result<NamesResponse> user_get(std::string_view name, const CallOptions& call = {});  // its roles
  Result<NamesResponse> user_list(const CallOptions& call = {});
  Result<AuthResponse> user_change_password(std::string_view name, std::string_view password,
                                            const CallOptions& call = {});
  Result<AuthResponse> user_grant_role(std::string_view user, std::string_view role, const CallOptions& call = {});
  Result<AuthResponse> user_revoke_role(std::string_view user, std::string_view role, const CallOptions& call = {});

  Result<AuthResponse> role_add(std::string_view name, const CallOptions& call = {});
  Result<AuthResponse> role_delete(std::string_view name, const CallOptions& call = {});
  Result<RoleGetResponse> role_get(std::string_view name, const CallOptions& call = {});
  Result<NamesResponse> role_list(const CallOptions& call = {});
  Result<AuthResponse> role_grant_permission(std::string_view role, const Permission& permission,
                                             const CallOptions& call = {});
  Result<AuthResponse> role_revoke_permission(std::string_view role, std::string_view key, std::string_view range_end,
                                              const CallOptions& call = {});

 private:
  explicit Auth(std::unique_ptr<Calls> calls);

  const std::unique_ptr<Calls> calls_;
};

}  // namespace kv::client
