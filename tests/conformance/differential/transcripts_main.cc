// etcdctl against two servers, what it prints compared. See README.md.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "conformance/differential/pair.h"
#include "conformance/differential/player.h"

namespace kv::differential {
namespace {

struct Options {
  PairOptions pair;
  std::string ctl_a = "etcdctl";
  std::string ctl_b = "etcdctl";
  std::vector<std::string> files;
  bool plant = false;
  bool show = false;
};

int run_file(const Options& options, const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) throw std::runtime_error("can't read " + path);
  const std::vector<Command> commands = parse_transcript(text.str());
  if (commands.empty()) throw std::runtime_error(path + " holds no command");

  Pair pair(options.pair);
  Player player_a(options.ctl_a, pair.a());
  Player player_b(options.ctl_b, pair.b());
  int different = 0;
  for (const Command& command : commands) {
    const std::string a = player_a.play(command);
    std::string b = player_b.play(command);
    if (options.plant && command.line == commands.back().line) b += " ";
    if (options.show) std::printf("%s\n%s", command.text.c_str(), a.c_str());
    if (a == b) continue;
    ++different;
    std::printf("%s:%d: MISMATCH\n%s\n---- a\n%s---- b\n%s----\n", path.c_str(), command.line, command.text.c_str(),
                a.c_str(), b.c_str());
  }
  std::printf("%s: %zu commands, %d with a difference\n", path.c_str(), commands.size(), different);
  return different;
}

}  // namespace
}  // namespace kv::differential

int main(int argc, char** argv) {
  kv::differential::Options options;
  CLI::App app{"etcdctl against two servers, what it prints compared"};
  app.add_option("--a", options.pair.a, "the oracle's program (etcd)");
  app.add_option("--b", options.pair.b, "the program under test")->required();
  app.add_option("--ctl-a", options.ctl_a, "the client that is put against a (etcdctl)");
  app.add_option("--ctl-b", options.ctl_b, "the client that is put against b (etcdctl)");
  app.add_option("--members", options.pair.members, "members a side");
  app.add_flag("--plant", options.plant, "falsify the last answer of b by one blank, to see that it is noticed");
  app.add_flag("--show", options.show, "print a's answers, masked");
  app.add_option("files", options.files, "transcripts")->required();
  CLI11_PARSE(app, argc, argv);
  setvbuf(stdout, nullptr, _IOLBF, 0);

  try {
    int different = 0;
    for (const std::string& file : options.files) different += kv::differential::run_file(options, file);
    return different == 0 ? 0 : 1;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 2;
  }
}
