#include "auth_doors.h"

#include <arpa/inet.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/json/gateway.h"
#include "api/services/all.h"

namespace kv::test {

using namespace etcdserverpb;
using server::Member;

AuthDoors::AuthDoors() {
  options_ = server::quick_options(directory_.path(), "m", "http://127.0.0.1:" + std::to_string(server::free_port()));
  options_.bcrypt_cost = 4;
  member_ = server::start(options_);
  EXPECT_TRUE(server::eventually([&] { return member_->leader() != 0; }));
  locks_ = std::make_unique<server::Locks>(*member_);
  elections_ = std::make_unique<server::Elections>(*member_);
  table_ = std::make_unique<api::CallTable>(&member_->gate());
  api::add_all_services(*table_, *member_, *locks_, *elections_, [] { return true; });
  auto listened = api::Server::listen({.listen_urls = {"http://127.0.0.1:0"}}, *table_,
                                      api::gateway_routes(*table_, {.max_request_bytes = 2 << 20}));
  EXPECT_TRUE(listened.ok()) << listened.status().to_string();
  door_ = *std::move(listened);
  door_->start();

  for (const char* name : {"root", "alice", "bob"}) add_user(name, std::string("secret of ") + name);
  give_role("root", "root");
  add_role("writer");
  grant("writer", authpb::Permission::READWRITE, "a", "b");
  give_role("alice", "writer");
  must(&Member::auth_enable, AuthEnableRequest());
  root_ = token_of("root", "secret of root");
  alice_ = token_of("alice", "secret of alice");
  bob_ = token_of("bob", "secret of bob");
}

AuthDoors::~AuthDoors() {
  door_.reset();
  member_->stop(0);
}

void AuthDoors::add_user(const std::string& name, const std::string& password) {
  AuthUserAddRequest request;
  request.set_name(name);
  request.set_password(password);
  must(&Member::user_add, request);
}

void AuthDoors::add_role(const std::string& name) {
  AuthRoleAddRequest request;
  request.set_name(name);
  must(&Member::role_add, request);
}

void AuthDoors::grant(const std::string& role, authpb::Permission::Type type, const std::string& key,
                      const std::string& range_end) {
  AuthRoleGrantPermissionRequest request;
  request.set_name(role);
  request.mutable_perm()->set_permtype(type);
  request.mutable_perm()->set_key(key);
  request.mutable_perm()->set_range_end(range_end);
  must(&Member::role_grant_permission, request);
}

void AuthDoors::give_role(const std::string& user, const std::string& role) {
  AuthUserGrantRoleRequest request;
  request.set_user(user);
  request.set_role(role);
  must(&Member::user_grant_role, request);
}

void AuthDoors::put(const std::string& key, const std::string& value, int64_t lease) {
  PutRequest request;
  request.set_key(key);
  request.set_value(value);
  request.set_lease(lease);
  must(&Member::put, request);
}

int64_t AuthDoors::lease_with(const std::string& key) {
  LeaseGrantRequest request;
  request.set_ttl(600);
  const int64_t lease = must(&Member::lease_grant, request).id();
  put(key, "on a lease", lease);
  return lease;
}

std::string AuthDoors::token_of(const std::string& user, const std::string& password) {
  AuthenticateRequest request;
  request.set_name(user);
  request.set_password(password);
  return must(&Member::authenticate, request).token();
}

Heard AuthDoors::by_grpc(const std::string& path, const google::protobuf::Message& request,
                         const std::optional<std::string>& token, const std::string& token_key) {
  const auto channel =
      grpc::CreateChannel("127.0.0.1:" + std::to_string(door_->bound_ports()[0]), grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  if (token) context.AddMetadata(token_key, *token);
  grpc::CompletionQueue queue;
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    return ok;
  };
  const auto call = stub.PrepareCall(&context, path, &queue);
  call->StartCall(nullptr);
  bool goes_on = next();
  const api::Row* row = table_->find(path);
  const bool stays_open = row != nullptr && (row->kind == api::Kind::kBidi || row->kind == api::Kind::kClientStream);
  if (goes_on) {
    grpc::Slice slice(request.SerializeAsString());
    call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    goes_on = next();
  }
  if (goes_on && !stays_open) {
    call->WritesDone(nullptr);
    (void)next();
  }
  Heard heard;
  grpc::ByteBuffer buffer;
  call->Read(&buffer, nullptr);
  if (next()) {
    heard.answered = true;
    std::vector<grpc::Slice> slices;
    (void)buffer.Dump(&slices);
    for (const grpc::Slice& slice : slices)
      heard.bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    heard.text = heard.bytes;
    if (stays_open || row->kind == api::Kind::kServerStream) context.TryCancel();
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  (void)next();
  if (!heard.answered) {
    heard.code = status.error_code();
    heard.text = status.error_message();
    heard.answered = status.ok();
    EXPECT_NE(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << path << " was not answered";
  }
  queue.Shutdown();
  return heard;
}

std::string AuthDoors::json_of(const google::protobuf::Message& request) {
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(request, &json, options).ok());
  return json;
}

Heard AuthDoors::by_json(const std::string& path, const std::string& body, const std::optional<std::string>& token,
                         const std::string& more_headers) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(door_->bound_ports()[0]);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const timeval patience{.tv_sec = 20, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::string request = "POST " + path +
                        " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
                        "\r\nConnection: close\r\n" + more_headers;
  if (token) request += "Authorization: " + *token + "\r\n";
  request += "\r\n" + body;
  EXPECT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  // A stream goes on: what it says first is enough.
  std::string all;
  for (;;) {
    char buffer[16384];
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) {
      EXPECT_EQ(n, 0) << path << " was not answered; so far: " << all;
      break;
    }
    all.append(buffer, static_cast<size_t>(n));
    if (all.find("\"result\"") != std::string::npos && all.find("}\n") != std::string::npos) break;
  }
  close(fd);
  Heard heard;
  EXPECT_TRUE(all.starts_with("HTTP/1.1 ")) << path << ": " << all;
  if (all.starts_with("HTTP/1.1 ")) heard.code = std::atoi(all.c_str() + 9);
  const size_t end_of_head = all.find("\r\n\r\n");
  heard.text = end_of_head == std::string::npos ? "" : all.substr(end_of_head + 4);
  heard.answered = heard.code == 200;
  return heard;
}

}  // namespace kv::test
