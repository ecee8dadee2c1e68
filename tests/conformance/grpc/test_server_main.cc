// grpc_test_server [PORT]: our server with gRPC's interoperability test service, for clients in other languages.
// Prints "listening on port N", serves until SIGINT or SIGTERM, then drains.
#include <signal.h>

#include <cstdio>
#include <string>

#include "api/net/server.h"
#include "conformance/grpc/test_service.h"

int main(int argc, char** argv) {
  // Before the first thread, so that none takes the signals.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGINT);
  sigaddset(&stop, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  kv::test::Later later;
  kv::api::CallTable table(nullptr);
  kv::test::add_test_service(table, later);
  kv::api::add_health(table, [] { return true; });
  kv::api::add_reflection(table);

  kv::api::ServerOptions options;
  options.listen_urls = {"http://127.0.0.1:" + std::string(argc > 1 ? argv[1] : "0")};
  options.io_threads = 2;
  options.max_request_bytes = 8 << 20;
  std::vector<kv::api::Route> routes;
  // Not at once, so that a request is still open when a client breaks the rules of HTTP/2 in the middle of it.
  routes.push_back(
      {"", "/", [&later](auto, auto reply) {
         later.run(std::chrono::milliseconds(50),
                   [reply = std::make_shared<decltype(reply)>(std::move(reply))] { (*reply)({.body = "hello\n"}); });
       }});
  auto server = kv::api::Server::listen(options, table, std::move(routes));
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().to_string().c_str());
    return 1;
  }

  (*server)->start();
  std::printf("listening on port %d\n", (*server)->bound_ports()[0]);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&stop, &signal);
  (*server)->drain(2000);
  return 0;
}
