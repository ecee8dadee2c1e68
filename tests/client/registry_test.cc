#include "client/registry.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "client/embedded.h"

namespace kv::client {
namespace {

using std::chrono::seconds;

class ClientRegistry : public Embedded {
 protected:
  // As is usual, without a slash in front.
  std::string service() const { return prefix_.substr(1) + "mail"; }
  std::unique_ptr<Registration> register_at(ServiceEndpoint endpoint, RegistrationOptions options = {}) {
    auto made = Registration::create(*client_, service(), std::move(endpoint), std::move(options));
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    return *std::move(made);
  }
  std::vector<ServiceEndpoint> resolved() {
    auto found = resolve(*client_, service());
    EXPECT_TRUE(found.ok()) << found.status().to_string();
    return *std::move(found);
  }
};

// What came last, and a wait for it.
template <typename T>
class Latest {
 public:
  void set(T value) {
    {
      const std::lock_guard lock(mutex_);
      value_ = std::move(value);
    }
    changed_.notify_all();
  }
  bool becomes(const T& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(60), [&] { return value_ == wanted; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
};

TEST_F(ClientRegistry, Registered_endpoint_is_found_until_it_is_taken_off) {
  const auto one = register_at({.address = "10.0.0.7:25", .metadata = R"({"zone":"a"})"});
  {
    const auto two = register_at({.id = "0-two", .address = "10.0.0.8:25"});
    EXPECT_EQ(resolved(), (std::vector<ServiceEndpoint>{
                              {.id = "0-two", .address = "10.0.0.8:25"},
                              {.id = "10.0.0.7:25", .address = "10.0.0.7:25", .metadata = R"({"zone":"a"})"}}));
  }
  EXPECT_EQ(resolved().size(), 1u);
  EXPECT_TRUE(one->close().ok());
  EXPECT_TRUE(resolved().empty());
  EXPECT_EQ(one->status().code(), Code::kCanceled);
}

TEST_F(ClientRegistry, Keys_and_values_are_those_of_etcds_naming_package) {
  const auto one = register_at({.address = "10.0.0.7:25"});
  EXPECT_EQ(one->key(), service() + "/10.0.0.7:25");
  const auto got = client_->get(one->key());
  EXPECT_EQ(got->kvs.at(0).value, R"({"Op":0,"Addr":"10.0.0.7:25","Metadata":null})");
  EXPECT_EQ(got->kvs.at(0).lease, one->lease());

  // As Go writes it, with metadata of its own; and what is no endpoint is none.
  const auto put = [&](std::string_view id, std::string_view value) {
    ASSERT_TRUE(client_->put(service() + '/' + std::string(id), value).ok());
  };
  put("go", R"({"Op":0,"Addr":"[::1]:25","Metadata":[1,"\u003cb\u003e"]})");
  put("bad1", "10.0.0.9:25");
  put("bad2", R"({"Op":0,"Addr":7})");
  put("bad3", "\xff\xfe");
  put("bad4", R"({"Op":0,"Addr":"x","Metadata":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}");
  const auto all = resolved();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1], (ServiceEndpoint{.id = "go", .address = "[::1]:25", .metadata = R"([1,"<b>"])"}));
}

TEST_F(ClientRegistry, Other_services_with_longer_names_are_not_found) {
  const auto one = Registration::create(*client_, service() + "box", {.address = "10.0.0.7:25"});
  ASSERT_TRUE(one.ok());
  EXPECT_TRUE(resolved().empty());
}

TEST_F(ClientRegistry, What_cannot_be_registered_is_refused) {
  const auto refused = [&](std::string_view name, ServiceEndpoint endpoint) {
    return Registration::create(*client_, name, std::move(endpoint)).status().code();
  };
  EXPECT_EQ(refused("", {.address = "a:1"}), Code::kInvalidArgument);
  EXPECT_EQ(refused(service(), {}), Code::kInvalidArgument);
  EXPECT_EQ(refused(service(), {.address = "a:1", .metadata = "{"}), Code::kInvalidArgument);
  EXPECT_EQ(refused(service(), {.address = "\xff"}), Code::kInvalidArgument);
  EXPECT_TRUE(resolved().empty());
}

TEST_F(ClientRegistry, Resolver_tells_who_comes_and_goes) {
  using Endpoints = std::vector<ServiceEndpoint>;
  Latest<Endpoints> told;
  const auto first = register_at({.address = "a:1"});
  auto mail = Resolver::create(*client_, service(), {.on_change = [&](const Endpoints& now) { told.set(now); }});
  ASSERT_TRUE(mail.ok()) << mail.status().to_string();
  EXPECT_EQ((*mail)->endpoints(), (Endpoints{{"a:1", "a:1"}}));
  auto second = register_at({.address = "b:1"});
  EXPECT_TRUE(told.becomes({{"a:1", "a:1"}, {"b:1", "b:1"}}));
  ASSERT_TRUE(first->close().ok());
  EXPECT_TRUE(told.becomes({{"b:1", "b:1"}}));
  EXPECT_EQ((*mail)->endpoints(), (Endpoints{{"b:1", "b:1"}}));
  second.reset();
  EXPECT_TRUE(told.becomes({}));
}

TEST_F(ClientRegistry, Endpoint_whose_lease_is_lost_is_registered_anew) {
  Latest<std::vector<bool>> told;
  std::vector<bool> oks;
  const auto one = register_at({.address = "a:1"}, {.ttl_s = 2, .on_status = [&](const Status& status) {
                                                      oks.push_back(status.ok());
                                                      told.set(oks);
                                                    }});
  const int64_t lost = one->lease();
  ASSERT_TRUE(client_->lease_revoke(lost).ok());
  EXPECT_TRUE(resolved().empty());
  EXPECT_TRUE(told.becomes({false, true}));
  EXPECT_TRUE(one->status().ok());
  EXPECT_NE(one->lease(), lost);
  EXPECT_EQ(resolved().size(), 1u);
}

}  // namespace
}  // namespace kv::client
