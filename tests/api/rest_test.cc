// /v2/keys with a member behind it. What is expected here are etcd 3.4's answers (`etcd --enable-v2`), but for what
// docs/rest.md explains.
#include "api/rest/rest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <set>

#include "api/net/router.h"
#include "api/rest/cluster.h"
#include "api/rest/form.h"
#include "api/services/services.h"
#include "server/fixture.h"

namespace kv::test {
namespace {

using namespace std::chrono_literals;
using api::HttpResponse;
using testing::HasSubstr;

std::string_view header(const HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

class RestTest : public testing::Test {
 protected:
  void SetUp() override { start_member(); }
  void restart() {
    routes_.clear();
    member_->stop(0);
    member_.reset();
    start_member();
  }
  void start_member() {
    table_ = std::make_unique<api::CallTable>(nullptr);
    const server::MemberOptions options = server::lone_options(directory_.path());
    auto member = server::Member::start(options, [](Status status) { FAIL() << status.to_string(); });
    ASSERT_TRUE(member.ok()) << member.status().to_string();
    member_ = *std::move(member);
    routes_ = api::rest_routes(*member_);
    api::add_cluster(*table_, *member_);
    for (auto& route : api::rest_cluster_routes(*table_, *member_)) routes_.push_back(std::move(route));
    // Until there is a leader.
    const auto until = std::chrono::steady_clock::now() + 60s;
    while (ask("GET", "/?quorum=true").status != 200 && std::chrono::steady_clock::now() < until) {
    }
  }
  void TearDown() override {
    if (member_) member_->stop(0);
  }

  std::future<HttpResponse> start(const std::string& method, const std::string& target, const std::string& body,
                                  api::HttpFields headers) {
    auto request = std::make_shared<api::HttpRequest>();
    request->method = method;
    std::tie(request->path, request->query) =
        api::split_target((target.starts_with("/v2/") ? "" : "/v2/keys") + target);
    request->headers = std::move(headers);
    request->body = body;
    std::promise<HttpResponse> promise;
    std::future<HttpResponse> future = promise.get_future();
    const api::RouteMatch match = api::find_route(routes_, method, request->path);
    if (match.route == nullptr) {
      promise.set_value(api::no_route(match));
    } else {
      match.route->handler(request, [promise = std::move(promise)](HttpResponse response) mutable {
        promise.set_value(std::move(response));
      });
    }
    return future;
  }
  HttpResponse finish(std::future<HttpResponse> future) {
    if (future.wait_for(60s) == std::future_status::ready) return future.get();
    ADD_FAILURE() << "no answer";
    return {.status = 0};
  }
  HttpResponse ask(const std::string& method, const std::string& target, const std::string& body = "",
                   api::HttpFields headers = {{"content-type", "application/x-www-form-urlencoded"}}) {
    return finish(start(method, target, body, std::move(headers)));
  }
  // Of an answer: its status and the body with # for all numbers that are indexes.
  std::string answer(const std::string& method, const std::string& target, const std::string& body = "") {
    const HttpResponse response = ask(method, target, body);
    std::string text = std::to_string(response.status) + " " + response.body;
    for (size_t at = text.find("ndex\":"); at != std::string::npos; at = text.find("ndex\":", at + 6)) {
      const size_t end = text.find_first_not_of("0123456789", at + 6);
      text.replace(at + 6, end - at - 6, "#");
    }
    return text;
  }

  server::TempDirectory directory_;
  std::unique_ptr<server::Member> member_;
  std::unique_ptr<api::CallTable> table_;
  std::vector<api::Route> routes_;
};

const std::string kIndexes = R"("modifiedIndex":#,"createdIndex":#})";

TEST_F(RestTest, Keys_are_set_read_and_deleted) {
  EXPECT_EQ(answer("GET", ""), "200 {\"action\":\"get\",\"node\":{\"dir\":true}}\n");
  EXPECT_EQ(answer("PUT", "/a", "value=1"),
            R"(201 {"action":"set","node":{"key":"/a","value":"1",)" + kIndexes + "}\n");
  EXPECT_EQ(answer("PUT", "/a?value=no", "value=2"), R"(200 {"action":"set","node":{"key":"/a","value":"2",)" +
                                                         kIndexes + R"(,"prevNode":{"key":"/a","value":"1",)" +
                                                         kIndexes + "}\n");
  EXPECT_EQ(answer("GET", "/x/..//a/"), R"(200 {"action":"get","node":{"key":"/a","value":"2",)" + kIndexes + "}\n");
  EXPECT_EQ(answer("DELETE", "/a"), R"(200 {"action":"delete","node":{"key":"/a",)" + kIndexes +
                                        R"(,"prevNode":{"key":"/a","value":"2",)" + kIndexes + "}\n");
  EXPECT_EQ(answer("GET", "/a"), R"(404 {"errorCode":100,"message":"Key not found","cause":"/a","index":#})"
                                 "\n");
}

TEST_F(RestTest, Each_condition_and_each_error) {
  ask("PUT", "/a", "value=1");
  ask("PUT", "/d/e/f", "value=1");
  const HttpResponse swapped = ask("PUT", "/a", "value=2&prevValue=1");
  EXPECT_EQ(swapped.status, 200);
  EXPECT_THAT(swapped.body, HasSubstr("compareAndSwap"));
  const struct {
    const char *method, *target, *body;
    int status, code;
    const char* cause;
  } cases[] = {
      {"GET", "/a/b", "", 400, 104, "/a"},
      {"GET", "/x/y", "", 404, 100, "/x"},
      {"GET", "/d/y/z", "", 404, 100, "/d/y"},
      {"GET", "/a?recursive=x", "", 400, 209, "invalid value for \\\"recursive\\\""},
      {"PUT", "/", "value=1", 400, 107, "/"},
      {"PUT", "/d", "value=1", 403, 102, "/d"},
      {"PUT", "/a/b", "value=1", 400, 104, "/a"},
      {"PUT", "/a", "value=1&prevExist=false", 412, 105, "/a"},
      {"PUT", "/d", "value=1&prevExist=false", 412, 105, "/d"},
      {"PUT", "/n", "value=1&prevExist=true", 404, 100, "/n"},
      {"PUT", "/n", "value=1&prevValue=1", 404, 100, "/n"},
      {"PUT", "/a", "value=1&prevValue=no", 412, 101, "[no != 2]"},
      {"PUT", "/a", "value=1&prevValue=", 400, 201, "\\\"prevValue\\\" cannot be empty"},
      {"PUT", "/a", "value=1&prevIndex=x", 400, 203, "invalid value for \\\"prevIndex\\\""},
      {"PUT", "/a", "value=1&prevExist=x", 400, 209, "invalid value for prevExist"},
      {"PUT", "/a", "value=%f", 400, 210, "invalid URL escape \\\"%f\\\""},
      {"PUT", "/a", "value=1;b", 400, 210, "invalid semicolon separator in query"},
      {"PUT", "/a", "value=1&ttl=x", 400, 202, "invalid value for \\\"ttl\\\""},
      {"PUT", "/a", "value=1&ttl=5&refresh=true", 400, 211, "A value was provided on a refresh"},
      {"PUT", "/a", "refresh=true", 400, 212, "No TTL value set"},
      {"PUT", "/n", "refresh=true&ttl=5", 404, 100, "/n"},
      {"PUT", "/d", "dir=true", 403, 102, "/d"},
      {"PUT", "/d", "value=1&prevExist=true", 403, 102, "/d"},
      {"POST", "/a", "value=1", 400, 104, "/a"},
      {"POST", "/a/b", "value=1", 400, 104, "/a"},
      {"DELETE", "/", "", 400, 107, "/"},
      {"DELETE", "/d", "", 403, 102, "/d"},
      {"DELETE", "/d?dir=true", "", 403, 108, "/d"},
      {"DELETE", "/d?prevValue=1&recursive=true", "", 403, 102, "/d"},
      {"DELETE", "/a?prevValue=1", "", 412, 101, "[1 != 2]"},
      {"DELETE", "/n", "", 404, 100, "/n"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(c.method) + " " + c.target + " " + c.body);
    const HttpResponse response = ask(c.method, c.target, c.body);
    EXPECT_EQ(response.status, c.status);
    EXPECT_THAT(response.body, HasSubstr("\"errorCode\":" + std::to_string(c.code) + ","));
    EXPECT_THAT(response.body, HasSubstr("\"cause\":\"" + std::string(c.cause) + "\","));
    EXPECT_NE(header(response, "X-Etcd-Cluster-Id"), "");
  }
  EXPECT_EQ(ask("GET", "/%zz").body, "400 Bad Request");
  EXPECT_EQ(ask("GET", "/../..").status, 404);
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "/a";
  EXPECT_EQ(ask("GET", deep).status, 400);
  EXPECT_EQ(ask("PATCH", "/a").status, 405);
}

TEST_F(RestTest, A_directory_is_what_has_keys_below_it) {
  ask("PUT", "/d/b/c", "value=1");
  ask("PUT", "/d/a", "value=2");
  ask("PUT", "/d/_hidden", "value=3");
  ask("PUT", "/d0", "value=4");
  const std::string a = R"({"key":"/d/a","value":"2",)" + kIndexes;
  EXPECT_EQ(answer("GET", "/d"), R"(200 {"action":"get","node":{"key":"/d","dir":true,"nodes":[)" + a +
                                     R"(,{"key":"/d/b","dir":true,)" + kIndexes + "]," + kIndexes + "}\n");
  EXPECT_EQ(answer("GET", "/d?recursive=true"),
            R"(200 {"action":"get","node":{"key":"/d","dir":true,"nodes":[)" + a +
                R"(,{"key":"/d/b","dir":true,"nodes":[{"key":"/d/b/c","value":"1",)" + kIndexes + "]," + kIndexes +
                "]," + kIndexes + "}\n");
  EXPECT_EQ(ask("GET", "/d/_hidden").status, 200);
  EXPECT_EQ(ask("DELETE", "/d?recursive=true").status, 200);
  EXPECT_EQ(ask("GET", "/d").status, 404);
  EXPECT_EQ(ask("GET", "/d0").status, 200);
}

TEST_F(RestTest, A_directory_that_was_made_stays_when_it_is_emptied) {
  EXPECT_EQ(answer("PUT", "/made", "dir=true"),
            R"(201 {"action":"set","node":{"key":"/made","dir":true,)" + kIndexes + "}\n");
  ask("PUT", "/d/e/f", "value=1");
  ask("DELETE", "/d/e/f");
  EXPECT_EQ(answer("GET", "/d?recursive=true"),
            R"(200 {"action":"get","node":{"key":"/d","dir":true,"nodes":[{"key":"/d/e","dir":true,)" + kIndexes +
                "]," + kIndexes + "}\n");
  EXPECT_EQ(ask("DELETE", "/d/e?dir=true").status, 200);
  EXPECT_EQ(ask("DELETE", "/d?dir=true").status, 200);
  EXPECT_EQ(ask("GET", "/d").status, 404);
  // A file's place is taken by a directory, and what was there is said.
  ask("PUT", "/a", "value=1");
  EXPECT_EQ(answer("PUT", "/a", "dir=true"), R"(200 {"action":"set","node":{"key":"/a","dir":true,)" + kIndexes +
                                                 R"(,"prevNode":{"key":"/a","value":"1",)" + kIndexes + "}\n");
}

TEST_F(RestTest, A_ttl_is_a_lease_of_the_nodes_own) {
  EXPECT_THAT(ask("PUT", "/a", "value=1&ttl=100").body, HasSubstr("\"ttl\":100,"));
  EXPECT_THAT(ask("GET", "/a").body, HasSubstr("\"expiration\":\"20"));
  // Each new TTL takes the place of the one before, whose lease nothing hangs on any more.
  EXPECT_EQ(ask("PUT", "/a", "refresh=true&ttl=200&prevExist=true").status, 200);
  EXPECT_THAT(ask("GET", "/a").body, HasSubstr("\"value\":\"1\""));
  const auto leases = [this] {
    return server::call(*member_, &server::Member::lease_leases, etcdserverpb::LeaseLeasesRequest())
        .response.leases_size();
  };
  EXPECT_EQ(leases(), 1);
  EXPECT_EQ(ask("PUT", "/a", "value=2").status, 200);
  EXPECT_EQ(leases(), 0);
  EXPECT_THAT(ask("GET", "/a").body, testing::Not(HasSubstr("ttl")));
}

TEST_F(RestTest, A_directory_goes_with_its_ttl_and_takes_all_below) {
  EXPECT_EQ(ask("PUT", "/d", "dir=true&ttl=1").status, 201);
  EXPECT_EQ(ask("PUT", "/d/e/f", "value=1").status, 201);
  const auto until = std::chrono::steady_clock::now() + 60s;
  while (ask("GET", "/d").status == 200 && std::chrono::steady_clock::now() < until) {
  }
  EXPECT_EQ(ask("GET", "/d/e/f").status, 404);
  EXPECT_EQ(ask("GET", "/d").status, 404);
}

TEST_F(RestTest, Any_bytes_come_back_after_a_restart) {
  EXPECT_EQ(ask("PUT", "/%ff/x", "value=%fe").status, 201);
  EXPECT_EQ(ask("PUT", "/%ff/x", "value=1&prevValue=%fe").status, 200);
  EXPECT_EQ(ask("PUT", "/made", "dir=true").status, 201);
  const std::string before = ask("GET", "/?recursive=true&quorum=true").body;
  ASSERT_NO_FATAL_FAILURE(restart());
  EXPECT_EQ(ask("GET", "/?recursive=true&quorum=true").body, before);
}

TEST_F(RestTest, In_order_keys_made_at_once_are_all_there) {
  std::vector<std::future<HttpResponse>> calls;
  calls.reserve(16);
  for (int i = 0; i < 16; ++i) {
    calls.push_back(start("POST", "/queue", "value=v", {{"content-type", "application/x-www-form-urlencoded"}}));
  }
  std::set<std::string> bodies;
  for (auto& call : calls) {
    const HttpResponse response = finish(std::move(call));
    EXPECT_EQ(response.status, 201) << response.body;
    bodies.insert(response.body.substr(0, response.body.find("\",\"value")));
  }
  EXPECT_EQ(bodies.size(), 16u);
}

TEST_F(RestTest, A_value_may_come_and_go_bare) {
  EXPECT_EQ(ask("PUT", "/a", "a=b&c", {{"content-type", "text/plain"}}).status, 201);
  EXPECT_EQ(ask("GET", "/a", "", {{"accept", "text/plain"}}).body, "a=b&c");
  EXPECT_EQ(ask("PUT", "/a", "x", {{"content-type", "multipart/form-data; boundary=x"}}).status, 400);
  EXPECT_THAT(ask("PUT", "/b", "value=%ff%3C%08").body, HasSubstr(R"("value":"\ufffd\u003c\u0008")"));
}

// As etcd 3.4 does, built with Go 1.19.
TEST_F(RestTest, Values_are_written_as_go_writes_them) {
  const struct {
    const char *form, *json;
  } kTable[] = {
      {"a%22b%5Cc%2Fd%7F", R"(a\"b\\c/d)"
                           "\x7f"},
      {"%00%01%08%09%0A%0B%0C%0D%1F", R"(\u0000\u0001\u0008\t\n\u000b\u000c\r\u001f)"},
      {"%3Cb%3E%26", R"(\u003cb\u003e\u0026)"},
      {"%E2%80%A7%E2%80%A8%E2%80%A9%E2%80%AA", "\u2027\\u2028\\u2029\u202a"},
      {"x%FFy%C3", R"(x\ufffdy\ufffd)"},
      {"%ED%A0%80", R"(\ufffd\ufffd\ufffd)"},
      {"%EF%BF%BD", "\ufffd"},  // which is a character as any other
      {"%C3%A9%F0%9F%98%80", "\u00e9\U0001f600"},
  };
  for (const auto& row : kTable) {
    EXPECT_THAT(ask("PUT", "/a", "value=" + std::string(row.form)).body,
                HasSubstr("\"value\":\"" + std::string(row.json) + "\","))
        << row.form;
  }
}

TEST_F(RestTest, Members_are_told) {
  HttpResponse members = ask("GET", "/v2/members");
  // Its name was known before. Where it serves clients a member says in a command of its own, soon after it has a
  // leader.
  const auto until = std::chrono::steady_clock::now() + 60s;
  while (members.body.find(R"("clientURLs":["http)") == std::string::npos && std::chrono::steady_clock::now() < until) {
    members = ask("GET", "/v2/members");
  }
  const HttpResponse leader = ask("GET", "/v2/members/leader");
  EXPECT_EQ(members.status, 200);
  EXPECT_EQ(leader.status, 200);
  EXPECT_THAT(leader.body, HasSubstr(R"("name":"default","peerURLs":["http://127.0.0.1:)"));
  // The leader is the only one.
  EXPECT_EQ(members.body, "{\"members\":[" + leader.body.substr(0, leader.body.size() - 1) + "]}\n");
  EXPECT_NE(header(members, "X-Etcd-Cluster-Id"), "");
  EXPECT_EQ(ask("GET", "/v2/machines").status, 200);
  EXPECT_EQ(ask("POST", "/v2/machines").status, 405);
}

TEST(RestForm, Unescapes) {
  std::string bad;
  EXPECT_EQ(api::unescape("a%20b+c", true, &bad), "a b c");
  EXPECT_EQ(api::unescape("a%20b+c", false, &bad), "a b+c");
  EXPECT_EQ(api::unescape("%", true, &bad), std::nullopt);
  EXPECT_EQ(bad, "%");
  EXPECT_EQ(api::unescape("x%4", true, &bad), std::nullopt);
  EXPECT_EQ(bad, "%4");
  EXPECT_EQ(api::clean_node_path("//a/./b/../../../c/"), "/c");
  EXPECT_EQ(api::clean_node_path(""), "/");
}

}  // namespace
}  // namespace kv::test
