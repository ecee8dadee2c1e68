// A server whose calls do nothing, to measure what the door costs. Drive it with h2load:
//
//   kvd_grpc_null 32379 &
//   printf '\0\0\0\0\0' > /tmp/empty.grpc
//   call="-d /tmp/empty.grpc -H te:trailers -H content-type:application/grpc"
//   h2load -n 1000000 -c 8 -m 128 $call http://127.0.0.1:32379/etcdserverpb.KV/Put
//
// Put is answered at once on the I/O thread; DeleteRange by another thread in bursts, as a member's engine does.
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/net/server.h"
#include "base/thread.h"
#include "etcdserverpb/rpc.pb.h"

namespace {

using etcdserverpb::DeleteRangeRequest;
using etcdserverpb::DeleteRangeResponse;
using etcdserverpb::PutRequest;
using etcdserverpb::PutResponse;

constexpr size_t kInboxCapacity = 1 << 20;

}  // namespace

int main(int argc, char** argv) {
  kv::api::ServerOptions options;
  options.listen_urls = {"http://127.0.0.1:" + std::string(argc > 1 ? argv[1] : "32379")};
  options.io_threads = argc > 2 ? std::atoi(argv[2]) : 1;

  kv::Inbox<kv::Done<DeleteRangeResponse>> inbox(kInboxCapacity);
  kv::api::CallTable table{nullptr};
  table.add(kv::api::unary_row<PutRequest, PutResponse>(
      "/etcdserverpb.KV/Put", kv::api::Right::kOpen,
      [](kv::CallPtr, std::unique_ptr<PutRequest>, kv::Done<PutResponse> done) { done(kv::Status::ok_status(), {}); }));
  table.add(kv::api::unary_row<DeleteRangeRequest, DeleteRangeResponse>(
      "/etcdserverpb.KV/DeleteRange", kv::api::Right::kOpen,
      [&](kv::CallPtr, std::unique_ptr<DeleteRangeRequest>, kv::Done<DeleteRangeResponse> done) {
        if (!inbox.push(std::move(done))) done({kv::Code::kResourceExhausted, "too many requests"}, {});
      }));
  std::vector<kv::api::Route> routes;
  routes.push_back({"GET", "/version", [](auto, auto reply) { reply({.body = "null\n"}); }});

  auto server = kv::api::Server::listen(options, table, std::move(routes));
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().to_string().c_str());
    return 1;
  }
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGINT);
  sigaddset(&stop, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  std::thread engine([&] {
    std::vector<kv::Done<DeleteRangeResponse>> batch;
    while (inbox.take_all(batch, std::chrono::steady_clock::time_point::max())) {
      for (auto& done : batch) done(kv::Status::ok_status(), {});
    }
  });
  (*server)->start();
  std::printf("listening on port %d\n", (*server)->bound_ports()[0]);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&stop, &signal);
  server->reset();
  inbox.close();
  engine.join();
  return 0;
}
