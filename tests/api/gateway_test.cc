// The JSON gateway over a call table of its own: paths, errors, metadata, streams, limits, and clients that go away.
#include "api/json/gateway.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <set>
#include <string>

#include "api/json/paths.h"
#include "api/net_fixture.h"
#include "etcdserverpb/rpc.pb.h"

namespace kv::test {
namespace {

using api::Kind;
using api::MessagePtr;
using api::Right;
using api::ServerStream;

struct Watching {
  std::shared_ptr<ServerStream> stream;
  std::vector<etcdserverpb::WatchRequest> requests;
  bool half_closed = false;
  bool cancelled = false;
};

struct Answer {
  int status = 0;
  std::string head;
  std::string body;
};

class GatewayTest : public NetTest {
 protected:
  GatewayTest() {
    table_.add(api::unary_row<etcdserverpb::RangeRequest, etcdserverpb::RangeResponse>(
        "/etcdserverpb.KV/Range", Right::kKeys,
        [this](CallPtr call, std::unique_ptr<etcdserverpb::RangeRequest> request,
               Done<etcdserverpb::RangeResponse> done) {
          locked([&] { last_call_ = call; });
          if (request->key() == "hold") {
            locked([&] { held_ = std::move(done); });
            return;
          }
          if (request->key() == "drop") return;
          if (request->key().empty()) return done({Code::kInvalidArgument, "etcdserver: key is not provided"}, {});
          if (request->limit() != 0) return done({static_cast<Code>(request->limit()), "say \"no\""}, {});
          etcdserverpb::RangeResponse response;
          response.mutable_header()->set_revision(7);
          response.add_kvs()->set_key(request->key());
          response.set_count(1);
          done({}, std::move(response));
        }));
    table_.add(api::stream_row<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>(
        "/etcdserverpb.Watch/Watch", Kind::kBidi, Right::kKeys,
        [this](std::shared_ptr<ServerStream> stream) { watch(std::move(stream)); }));
    table_.add(api::stream_row<etcdserverpb::SnapshotRequest, etcdserverpb::SnapshotResponse>(
        "/etcdserverpb.Maintenance/Snapshot", Kind::kServerStream, Right::kRoot,
        [](std::shared_ptr<ServerStream> stream) {
          stream->on_half_close = [stream = stream.get()] {
            etcdserverpb::SnapshotResponse response;
            response.set_blob("abc");
            stream->write(response);
            response.set_remaining_bytes(5);
            stream->write(response);
            stream->finish({Code::kUnavailable, "etcdserver: no leader"});
          };
        }));
  }
  ~GatewayTest() override {
    locked([&] {
      for (const auto& open : watching_) open->stream = nullptr;
      last_call_ = nullptr;
      held_ = nullptr;
    });
  }

  void serve() {
    for (auto& route : api::gateway_routes(table_, {.max_request_bytes = 4096})) routes_.push_back(std::move(route));
    start();
  }

  Answer ask(const std::string& request) {
    RawPeer peer(port());
    peer.send(request);
    std::string all;
    for (std::string more = peer.receive(); !more.empty(); more = peer.receive()) all += more;
    Answer answer;
    const size_t end = all.find("\r\n\r\n");
    if (end == std::string::npos || !all.starts_with("HTTP/1.1 ")) return answer;
    answer.status = std::stoi(all.substr(9, 3));
    answer.head = all.substr(0, end + 2);
    answer.body = all.substr(end + 4);
    return answer;
  }
  Answer post(const std::string& path, const std::string& body, const std::string& headers = "") {
    return ask("POST " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body);
  }

  void watch(std::shared_ptr<ServerStream> stream) {
    const auto open = std::make_shared<Watching>();
    stream->on_request = [this, open](MessagePtr message) {
      locked([&] { open->requests.push_back(static_cast<const etcdserverpb::WatchRequest&>(*message)); });
      if (open->requests.back().has_progress_request()) open->stream->pause_reading();
    };
    stream->on_half_close = [this, open] { locked([&] { open->half_closed = true; }); };
    stream->on_cancel = [this, open] { locked([&] { open->cancelled = true; }); };
    locked([&] {
      open->stream = std::move(stream);
      watching_.push_back(open);
    });
  }
  std::shared_ptr<Watching> watching(size_t n = 0) {
    EXPECT_TRUE(eventually([&] { return n < watching_.size(); }));
    auto out = std::make_shared<Watching>();
    locked([&] {
      if (n < watching_.size()) out = watching_[n];
    });
    return out;
  }
  static etcdserverpb::WatchResponse event(int64_t id) {
    etcdserverpb::WatchResponse response;
    response.set_watch_id(id);
    return response;
  }
  CallPtr last_call() {
    CallPtr out;
    locked([&] { out = last_call_; });
    return out;
  }

  CallPtr last_call_;
  Done<etcdserverpb::RangeResponse> held_;
  std::vector<std::shared_ptr<Watching>> watching_;
};

constexpr const char* kRange = "/v3/kv/range";
constexpr const char* kWatchHead = "POST /v3/watch HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
std::string chunk(const std::string& bytes) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + bytes + "\r\n";
}

TEST_F(GatewayTest, A_call_is_answered_as_json) {
  serve();
  const Answer answer = post(kRange, R"({"key":"Zm9v"})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"header":{"revision":"7"},"kvs":[{"key":"Zm9v"}],"count":"1"})");
  EXPECT_NE(answer.head.find("\r\ncontent-type: application/json\r\n"), std::string::npos);
  EXPECT_NE(answer.head.find("\r\nGrpc-Metadata-Content-Type: application/grpc\r\n"), std::string::npos);
  EXPECT_EQ(post("/v3beta/kv/range", R"({"key":"Zm9v"})").body, answer.body);
  EXPECT_EQ(post(kRange, R"({"key":"Zm9v"} what follows is not looked at)").body, answer.body);
}

TEST_F(GatewayTest, Errors_have_their_code_text_and_status) {
  serve();
  const std::string no_key =
      R"({"error":"etcdserver: key is not provided","code":3,"message":"etcdserver: key is not provided"})";
  for (const char* body : {"", "{}", " ", "{\"unknown\":[1,{}]}"}) {
    const Answer answer = post(kRange, body);
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(answer.body, no_key);
  }
  const std::vector<int> expected = {499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401};
  for (size_t code = 1; code <= expected.size(); ++code) {
    const Answer answer = post(kRange, "{\"key\":\"YQ==\",\"limit\":" + std::to_string(code) + "}");
    EXPECT_EQ(answer.status, expected[code - 1]) << code;
    EXPECT_EQ(answer.body, R"({"error":"say \"no\"","code":)" + std::to_string(code) + R"(,"message":"say \"no\""})");
    EXPECT_EQ(answer.head.find("WWW-Authenticate: say") != std::string::npos, answer.status == 401);
  }
  EXPECT_EQ(post(kRange, R"({"key":"ZHJvcA=="})").status, 500) << "a handler that drops its call";
}

TEST_F(GatewayTest, What_is_no_json_is_400) {
  serve();
  for (const char* body : {"{", "[]", "null", "{\"key\":1}", "{\"key\":\"?\"}", "\xff", "{\"key\":\"\xff\"}"}) {
    const Answer answer = post(kRange, body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_NE(answer.body.find("\"code\":3,"), std::string::npos) << answer.body;
  }
}

TEST_F(GatewayTest, Paths_that_are_none_and_calls_that_are_not_served_yet) {
  serve();
  for (const char* path : {"/v3/nope", "/v3/", "/v3/kv/range/", "/v3/kv/rangex", "/v3/kv"}) {
    EXPECT_EQ(post(path, "{}").body, R"({"error":"Not Found","code":5,"message":"Not Found"})") << path;
    EXPECT_EQ(post(path, "{}").status, 404) << path;
  }
  EXPECT_EQ(post("/v3alpha/kv/range", "{}").status, 404);
  const Answer get = ask("GET /v3/kv/range HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(get.status, 501);
  EXPECT_EQ(get.body, R"({"error":"Method Not Allowed","code":12,"message":"Method Not Allowed"})");
  size_t served = 0;
  for (const api::GatewayPath& path : api::gateway_paths()) {
    if (table_.find(path.call) != nullptr) {
      ++served;
      continue;
    }
    EXPECT_EQ(post(std::string(path.http), "{}").status, 501) << path.http;
  }
  EXPECT_EQ(served, 3u);
}

TEST_F(GatewayTest, Every_path_names_a_call_of_the_wire_and_every_call_of_the_wire_has_one) {
  const auto* const pool = google::protobuf::DescriptorPool::generated_pool();
  std::set<std::string> named;
  for (const api::GatewayPath& path : api::gateway_paths()) {
    std::string method(path.call.substr(1));
    method[method.find('/')] = '.';
    named.insert(method);
    if (!method.starts_with("etcdserverpb.")) continue;  // the other packages are not linked here
    EXPECT_NE(pool->FindMethodByName(method), nullptr) << path.call;
  }
  const auto* const file = etcdserverpb::RangeRequest::descriptor()->file();
  for (int s = 0; s < file->service_count(); ++s) {
    for (int m = 0; m < file->service(s)->method_count(); ++m) {
      const std::string& method = file->service(s)->method(m)->full_name();
      const bool has_path = named.contains(method);
      EXPECT_EQ(has_path, method != "etcdserverpb.KV.RangeStream") << method << ": etcd has no path for RangeStream";
    }
  }
}

TEST_F(GatewayTest, Headers_tell_who_asks) {
  serve();
  post(kRange, R"({"key":"Zm9v"})", "Authorization: tok.1\r\nGrpc-Metadata-Hasleader: true\r\nGrpc-Metadata-X: y\r\n");
  EXPECT_EQ(last_call()->token, "tok.1");
  EXPECT_TRUE(last_call()->has_leader);
  EXPECT_TRUE(last_call()->peer.starts_with("127.0.0.1:"));
  const auto metadata = [&](const std::string& key) {
    for (const auto& [name, value] : last_call()->metadata) {
      if (name == key) return value;
    }
    return std::string("(none)");
  };
  EXPECT_EQ(metadata("x"), "y");
  EXPECT_EQ(metadata("authorization"), "tok.1");
  EXPECT_EQ(metadata("grpcgateway-authorization"), "tok.1");
  EXPECT_EQ(metadata("grpcgateway-host"), "h");
  EXPECT_EQ(metadata("x-forwarded-host"), "h");
  EXPECT_EQ(metadata("x-forwarded-for"), "127.0.0.1");
  EXPECT_EQ(metadata("content-length"), "(none)");

  post(kRange, R"({"key":"Zm9v"})",
       "Authorization: tok.1\r\nGrpc-Metadata-Token: tok.2\r\nGrpc-Metadata-A-Bin: AP8\r\n");
  EXPECT_EQ(last_call()->token, "tok.2");
  EXPECT_EQ(metadata("a-bin"), std::string("\0\xff", 2));
  EXPECT_EQ(last_call()->certificate_user, std::nullopt);
  EXPECT_EQ(post(kRange, "{}", "Grpc-Metadata-A-Bin: ?\r\n").status, 400);
  EXPECT_EQ(post(kRange, "{}", "Grpc-Timeout: soon\r\n").status, 400);
}

TEST_F(GatewayTest, A_deadline_ends_a_call_and_tells_its_handler) {
  serve();
  const Answer answer = post(kRange, R"({"key":"aG9sZA=="})", "Grpc-Timeout: 30m\r\n");
  EXPECT_EQ(answer.status, 504);
  EXPECT_NE(answer.body.find("context deadline exceeded"), std::string::npos);
  EXPECT_TRUE(last_call()->cancelled());
}

TEST_F(GatewayTest, A_call_whose_client_is_gone_is_cancelled) {
  serve();
  {
    RawPeer peer(port());
    peer.send("POST /v3/kv/range HTTP/1.1\r\nHost: h\r\nContent-Length: 18\r\n\r\n{\"key\":\"aG9sZA==\"}");
    ASSERT_TRUE(eventually([&] { return last_call_ != nullptr; }));
    EXPECT_FALSE(last_call()->cancelled());
  }
  EXPECT_TRUE(eventually([&] { return last_call_->cancelled(); }));
}

TEST_F(GatewayTest, Bodies_and_messages_above_their_limits_are_refused) {
  serve();
  EXPECT_EQ(post(kRange, "{\"key\":\"" + std::string(9000, 'A') + "\"}").status, 413);
  const Answer message = post(kRange, "{\"key\":\"" + std::string(6000, 'A') + "\"}");
  EXPECT_EQ(message.status, 429);
  EXPECT_NE(message.body.find("\"code\":8,"), std::string::npos) << message.body;
  EXPECT_EQ(post(kRange, "{\"key\":\"" + std::string(5000, 'A') + "\"}").status, 200);
}

TEST_F(GatewayTest, A_server_stream_is_a_result_a_line_and_its_error_the_last_one) {
  serve();
  const Answer answer = post("/v3/maintenance/snapshot", "{}");
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.body.find("{\"result\":{\"blob\":\"YWJj\"}}\n"), std::string::npos) << answer.body;
  EXPECT_NE(answer.body.find("{\"result\":{\"remaining_bytes\":\"5\",\"blob\":\"YWJj\"}}\n"), std::string::npos);
  EXPECT_NE(answer.body.find(R"({"error":{"grpc_code":14,"http_code":503,"code":14,"message":"etcdserver: no leader",)"
                             "\"http_status\":\"Service Unavailable\"}}\n"),
            std::string::npos)
      << answer.body;
  EXPECT_TRUE(answer.body.ends_with("\r\n0\r\n\r\n"));
  EXPECT_EQ(post("/v3/maintenance/snapshot", "{").status, 400);
  EXPECT_EQ(post("/v3/maintenance/snapshot", "").status, 200) << "an empty body is an empty request";
}

TEST_F(GatewayTest, A_bidirectional_stream_takes_requests_as_they_arrive) {
  serve();
  RawPeer peer(port());
  peer.send(kWatchHead + chunk(R"({"create_request":{"key":"YQ=="}}{"cancel_requ)"));
  const auto open = watching();
  ASSERT_TRUE(eventually([&] { return open->requests.size() == 1; }));
  EXPECT_EQ(open->requests[0].create_request().key(), "a");
  open->stream->write(event(1));
  std::string all = peer.receive_until("\"1\"}}\n\r\n");
  EXPECT_NE(all.find("\r\ntransfer-encoding: chunked\r\n"), std::string::npos);
  EXPECT_NE(all.find("{\"result\":{\"watch_id\":\"1\"}}\n"), std::string::npos);
  peer.send(chunk("est\":{\"watch_id\":2}}") + chunk("\n"));
  ASSERT_TRUE(eventually([&] { return open->requests.size() == 2; }));
  EXPECT_EQ(open->requests[1].cancel_request().watch_id(), 2);
  EXPECT_FALSE(open->half_closed);
  peer.send("0\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return open->half_closed; }));
  open->stream->write(event(2));
  EXPECT_NE(peer.receive_until("\"2\"}}\n\r\n"), "") << "half a close ends nothing";
  open->stream->finish({});
  EXPECT_TRUE(peer.receive_until("0\r\n\r\n").ends_with("0\r\n\r\n"));
}

TEST_F(GatewayTest, A_stream_over_http2) {
  serve();
  RawHttp2 client(port());
  client.send_headers(1, {{":method", "POST"}, {":scheme", "http"}, {":path", "/v3/watch"}, {":authority", "h"}},
                      kEndHeaders);
  client.send_data(1, R"({"create_request":{}}{"create_request":{}})", kEndStream);
  const auto open = watching();
  ASSERT_TRUE(eventually([&] { return open->requests.size() == 2 && open->half_closed; }));
  open->stream->write(event(1));
  open->stream->write(event(2));
  open->stream->finish({});
  EXPECT_EQ(client.read_reply(1).body, "{\"result\":{\"watch_id\":\"1\"}}\n{\"result\":{\"watch_id\":\"2\"}}\n");
}

TEST_F(GatewayTest, A_stream_whose_client_is_gone_or_talks_nonsense_is_cancelled) {
  serve();
  {
    RawPeer gone(port());
    gone.send(kWatchHead + chunk(R"({"create_request":{}})"));
    ASSERT_TRUE(eventually([&] { return watching_.size() == 1 && watching_[0]->requests.size() == 1; }));
  }
  EXPECT_TRUE(eventually([&] { return watching_[0]->cancelled; }));
  EXPECT_FALSE(watching(0)->stream->write(event(1)));

  RawPeer early(port());
  early.send(kWatchHead + chunk("{]"));
  EXPECT_TRUE(early.receive_until("\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(eventually([&] { return watching_[1]->cancelled; }));

  RawPeer late(port());
  late.send(kWatchHead + chunk(R"({"create_request":{}})"));
  watching(2)->stream->write(event(1));
  EXPECT_NE(late.receive_until("\"1\"}}\n\r\n"), "");
  late.send(chunk("nonsense "));
  EXPECT_NE(late.receive_until("0\r\n\r\n").find("{\"error\":{\"grpc_code\":3,"), std::string::npos);
  EXPECT_TRUE(eventually([&] { return watching_[2]->cancelled; }));

  RawPeer endless(port());
  endless.send(kWatchHead + chunk("{\"create_request\":{\"key\":\"" + std::string(10000, 'A')));
  EXPECT_TRUE(endless.receive_until("\r\n\r\n").starts_with("HTTP/1.1 429"));
}

TEST_F(GatewayTest, A_handler_that_pauses_gets_no_more_requests_until_it_resumes) {
  serve();
  RawPeer peer(port());
  peer.send(kWatchHead + chunk(R"({"progress_request":{}}{"create_request":{}})") + chunk(R"({"create_request":{}})") +
            "0\r\n\r\n");
  const auto open = watching();
  ASSERT_TRUE(eventually([&] { return !open->requests.empty(); }));
  EXPECT_EQ(post(kRange, R"({"key":"Zm9v"})").status, 200) << "time enough to read on";
  locked([&] { EXPECT_EQ(open->requests.size(), 1u); });
  open->stream->resume_reading();
  EXPECT_TRUE(eventually([&] { return open->requests.size() == 3 && open->half_closed; }));
}

TEST_F(GatewayTest, A_slow_reader_is_seen_in_queued_bytes) {
  serve();
  RawPeer peer(port(), 4096);
  peer.send(kWatchHead + chunk(R"({"create_request":{}})"));
  const auto open = watching();
  etcdserverpb::WatchResponse large;
  large.set_cancel_reason(std::string(1 << 20, 'x'));
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(open->stream->write(large));
  EXPECT_GT(open->stream->queued_bytes(), 1u << 20);
  std::atomic<bool> drained{false};
  open->stream->on_drained(1, [&] { drained = true; });
  size_t got = 0;
  while (got < 16 << 20) {
    const std::string more = peer.receive();
    ASSERT_FALSE(more.empty());
    got += more.size();
  }
  EXPECT_TRUE(eventually([&] { return drained.load(); }));
  EXPECT_EQ(open->stream->queued_bytes(), 0u);
}

TEST_F(GatewayTest, Calls_are_counted_with_those_of_grpc) {
  const uint64_t before = handled("etcdserverpb.KV", "Range", "unary", "OK");
  serve();
  post(kRange, R"({"key":"Zm9v"})");
  EXPECT_EQ(handled("etcdserverpb.KV", "Range", "unary", "OK"), before + 1);
}

}  // namespace
}  // namespace kv::test
