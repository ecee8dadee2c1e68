// What tests of the server share: directories that go away, ports that are free, calls that can be waited for.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "server/call.h"
#include "server/member.h"

namespace kv::server {

class TempDirectory {
 public:
  TempDirectory() {
    char name[] = "/tmp/kvd-server-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TempDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A port of 127.0.0.1 that was free a moment ago.
inline uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  socklen_t length = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

// Of a member without others.
inline MemberOptions lone_options(const std::string& directory) {
  MemberOptions options;
  options.data_dir = directory + "/data";
  const std::string peer = "http://127.0.0.1:" + std::to_string(free_port());
  options.listen_peer_urls = options.initial_advertise_peer_urls = {peer};
  options.unsafe_no_fsync = true;
  return options;
}

// A call whose work runs on whatever thread posts it.
class InlineCall final : public CallContext {
 public:
  void post(absl::AnyInvocable<void()> work) override { work(); }
};

template <typename Response>
struct Answer {
  Status status;
  Response response;
};

// Makes a call and waits for its answer, for ten seconds at most.
template <typename Request, typename Response>
Answer<Response> call(Member& member, void (Member::*method)(CallPtr, std::unique_ptr<Request>, Done<Response>),
                      const Request& request, CallPtr context = std::make_shared<InlineCall>()) {
  auto promise = std::make_shared<std::promise<Answer<Response>>>();
  auto answer = promise->get_future();
  (member.*method)(std::move(context), std::make_unique<Request>(request),
                   [promise](Status status, Response&& response) {
                     promise->set_value({std::move(status), std::move(response)});
                   });
  if (answer.wait_for(std::chrono::seconds(10)) != std::future_status::ready)
    return {{Code::kDeadlineExceeded, "the test waited for ten seconds"}, {}};
  return answer.get();
}

inline Answer<etcdserverpb::PutResponse> put(Member& member, const std::string& key, const std::string& value) {
  etcdserverpb::PutRequest request;
  request.set_key(key);
  request.set_value(value);
  return call(member, &Member::put, request);
}

inline Answer<etcdserverpb::RangeResponse> get(Member& member, const std::string& key) {
  etcdserverpb::RangeRequest request;
  request.set_key(key);
  return call(member, &Member::range, request);
}

// Waits until `condition` holds, for `seconds` at most.
template <typename Condition>
bool eventually(Condition condition, int seconds = 10) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
    usleep(1000);
  }
  return true;
}

}  // namespace kv::server
