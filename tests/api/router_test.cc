#include "api/net/router.h"

#include <gtest/gtest.h>

namespace kv::api {
namespace {

std::vector<Route> routes() {
  const auto none = [](auto, auto) {};
  return {{"GET", "/health", none},    {"GET", "/v2/*", none},      {"", "/v2/keys/*", none},
          {"PUT", "/v2/keys/x", none}, {"GET", "/v2/keys/x", none}, {"POST", "/v3/kv/put", none}};
}

std::string found(const std::string& method, const std::string& path) {
  const auto all = routes();
  const RouteMatch match = find_route(all, method, path);
  if (match.route == nullptr) return match.allow.empty() ? "404" : "405 " + match.allow;
  return match.route->method + " " + match.route->path;
}

TEST(Router, Exact_paths_go_before_prefixes_and_longer_prefixes_before_shorter) {
  EXPECT_EQ(found("GET", "/health"), "GET /health");
  EXPECT_EQ(found("GET", "/v2/stats"), "GET /v2/*");
  EXPECT_EQ(found("DELETE", "/v2/keys/a/b"), " /v2/keys/*");
  EXPECT_EQ(found("PUT", "/v2/keys/x"), "PUT /v2/keys/x");
  EXPECT_EQ(found("DELETE", "/v2/keys/x"), " /v2/keys/*");
  EXPECT_EQ(found("GET", "/v2/"), "GET /v2/*");
}

TEST(Router, What_has_no_route_is_404_and_a_wrong_method_405_with_the_right_ones) {
  EXPECT_EQ(found("GET", "/"), "404");
  EXPECT_EQ(found("GET", "/health/"), "404");
  EXPECT_EQ(found("GET", "/v2"), "404");
  EXPECT_EQ(found("POST", "/health"), "405 GET");
  EXPECT_EQ(found("GET", "/v3/kv/put"), "405 POST");
  EXPECT_EQ(no_route({}).status, 404);
  const HttpResponse wrong = no_route({.allow = "GET"});
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.back(), (std::pair<std::string, std::string>("allow", "GET")));
}

TEST(Router, Head_is_served_by_get) { EXPECT_EQ(found("HEAD", "/health"), "GET /health"); }

TEST(Router, A_percent_sign_begins_an_escape) {
  for (const char* good : {"/", "/a", "/%41", "/a%2fb%2F", "/%2525"}) EXPECT_TRUE(escapes_are_whole(good)) << good;
  for (const char* bad : {"/%", "/a%4", "/%zz", "/%41%", "/%%41", "/%4g"}) EXPECT_FALSE(escapes_are_whole(bad)) << bad;
}

TEST(Router, Targets_are_split_into_path_and_query) {
  using Parts = std::pair<std::string, std::string>;
  EXPECT_EQ(split_target("/a/b"), Parts("/a/b", ""));
  EXPECT_EQ(split_target("/a?b=c&d"), Parts("/a", "b=c&d"));
  EXPECT_EQ(split_target("/a%20b?q=%3F?"), Parts("/a%20b", "q=%3F?"));
  EXPECT_EQ(split_target("http://host:1/a?b"), Parts("/a", "b"));
  EXPECT_EQ(split_target("http://host:1"), Parts("/", ""));
  EXPECT_EQ(split_target("http://host?x"), Parts("/", "x"));
  EXPECT_EQ(split_target("/a#b"), Parts("/a", ""));
  EXPECT_EQ(split_target("*"), Parts("*", ""));
  EXPECT_EQ(split_target("/a://b"), Parts("/a://b", ""));
}

}  // namespace
}  // namespace kv::api
