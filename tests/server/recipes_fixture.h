// What the tests of locks and elections share: a lone member, and calls that may wait.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>

#include "members_fixture.h"
#include "server/turn.h"

namespace kv::server {

// A call that was begun, and its answer to come.
template <typename Response>
struct Begun {
  CallPtr call;
  std::future<Answer<Response>> answer;

  bool is_ready() { return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  Answer<Response> get() {
    if (answer.wait_for(std::chrono::seconds(10)) != std::future_status::ready)
      return {{Code::kDeadlineExceeded, "the test waited for ten seconds"}, {}};
    return answer.get();
  }
};

template <typename Service, typename Request, typename Response>
Begun<Response> begin(Service& service, void (Service::*method)(CallPtr, std::unique_ptr<Request>, Done<Response>),
                      const Request& request) {
  auto promise = std::make_shared<std::promise<Answer<Response>>>();
  Begun<Response> begun{std::make_shared<OwnCall>(), promise->get_future()};
  (service.*method)(begun.call, std::make_unique<Request>(request), [promise](Status status, Response&& response) {
    promise->set_value({std::move(status), std::move(response)});
  });
  return begun;
}

class RecipeTest : public testing::Test {
 protected:
  void SetUp() override {
    member_ = start(quick_options(directory_.path(), "m", "http://127.0.0.1:" + std::to_string(free_port())));
    ASSERT_TRUE(member_);
    ASSERT_TRUE(eventually([&] { return member_->leader() != 0; }));
  }

  int64_t grant(int64_t ttl_s = 60) {
    etcdserverpb::LeaseGrantRequest request;
    request.set_ttl(ttl_s);
    const auto granted = begin(*member_, &Member::lease_grant, request).get();
    EXPECT_TRUE(granted.status.ok()) << granted.status.to_string();
    return granted.response.id();
  }
  void revoke(int64_t lease) {
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(lease);
    const auto revoked = begin(*member_, &Member::lease_revoke, request).get();
    EXPECT_TRUE(revoked.status.ok()) << revoked.status.to_string();
  }
  size_t count(const std::string& prefix) {
    etcdserverpb::RangeRequest request;
    request.set_key(prefix);
    request.set_range_end(prefix_end(prefix));
    return static_cast<size_t>(begin(*member_, &Member::range, request).get().response.kvs_size());
  }

  TempDirectory directory_;
  std::unique_ptr<Member> member_;
};

}  // namespace kv::server
