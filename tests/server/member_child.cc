// One member as a process of its own, to be killed: member_child NAME DATA_DIR NAME=URL,NAME=URL,... It serves no
// client and runs until its standard input ends.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "members_fixture.h"
#include "server/identity.h"

int main(int argc, char** argv) {
  using namespace kv::server;
  if (argc != 4) return 2;
  const auto cluster = parse_initial_cluster(argv[3]);
  if (!cluster.ok()) return 2;
  MemberOptions options = quick_options("", argv[1], cluster->at(argv[1])[0]);
  options.data_dir = argv[2];
  options.initial_cluster = *cluster;
  shorten_log(options);
  const auto member = Member::start(options, [](const kv::Status& status) {
    std::fprintf(stderr, "the member failed: %s\n", status.to_string().c_str());
    std::_Exit(1);
  });
  if (!member.ok()) {
    std::fprintf(stderr, "the member does not start: %s\n", member.status().to_string().c_str());
    return 1;
  }
  char byte;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  (*member)->stop(0);
  return 0;
}
