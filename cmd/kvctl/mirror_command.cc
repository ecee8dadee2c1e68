#include <condition_variable>
#include <memory>
#include <mutex>
#include <ostream>
#include <thread>
#include <utility>

#include "kvctl/commands.h"
#include "kvctl/mirror.h"

namespace kv::kvctl {
namespace {

constexpr auto kReportEvery = std::chrono::seconds(30);  // etcdctl's

struct MirrorFlags {
  MirrorOptions options;
  bool no_dest_prefix = false;
  std::string cert;
  std::string key;
  std::string cacert;
  bool insecure_transport = true;
  std::string user;
  std::string password;

  void declare(Flags& flags) {
    flags.add("prefix", options.prefix, "copy only keys with this prefix");
    flags.add("rev", options.revision, "begin with the changes of this revision, without a copy of what there is");
    flags.add("max-txn-ops", options.max_txn_ops, "operations in one transaction at the destination, at most");
    flags.add("dest-prefix", options.dest_prefix, "what stands in place of --prefix at the destination");
    flags.add("no-dest-prefix", no_dest_prefix, "keys lose --prefix at the destination");
    flags.add("dest-cert", cert, "this client's TLS certificate for the destination");
    flags.add("dest-key", key, "the key of --dest-cert");
    flags.add("dest-cacert", cacert, "CA certificates to verify the destination with");
    flags.add("dest-insecure-transport", insecure_transport, "no TLS for a destination without a scheme");
    flags.add("dest-user", user, "name, or name:password, at the destination");
    flags.add("dest-password", password, "password of --dest-user");
  }
};

// Prints how much was copied, now and then, until it is destroyed.
class Reporter {
 public:
  Reporter(std::ostream& out, const std::atomic<int64_t>& copied)
      : out_(out), copied_(copied), thread_([this] { run(); }) {}
  ~Reporter() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kReportEvery, [this] { return over_; })) {
      out_ << copied_.load(std::memory_order_relaxed) << '\n' << std::flush;
    }
  }

  std::ostream& out_;  // nobody else writes to it meanwhile
  const std::atomic<int64_t>& copied_;
  std::mutex mutex_;  // guards over_
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

Exit run_mirror(const Context& context, const MirrorFlags& flags, bool dest_prefix_given,
                const std::vector<std::string>& arguments) {
  if (arguments.size() != 1) return bad_args("make-mirror takes one destination argument");
  if (flags.no_dest_prefix && !flags.options.dest_prefix.empty()) {
    return bad_args("`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one");
  }
  if (flags.options.max_txn_ops < 1) return bad_args("--max-txn-ops must be at least 1");
  MirrorOptions options = flags.options;
  options.call = context.call_options();
  if (!flags.no_dest_prefix && !dest_prefix_given) options.dest_prefix = options.prefix;

  // The destination has an identity of its own; all else is as for the source.
  Context there{.globals = context.globals, .in = context.in, .out = context.out, .err = context.err};
  there.globals.cert = flags.cert;
  there.globals.key = flags.key;
  there.globals.cacert = flags.cacert;
  there.globals.insecure_transport = flags.insecure_transport;
  there.globals.user = flags.user;
  there.globals.password = flags.password;
  there.globals.token.clear();
  auto destination = there.client_for({arguments[0]});
  if (auto* exit = std::get_if<Exit>(&destination)) return std::move(*exit);
  auto source = context.client();
  if (auto* exit = std::get_if<Exit>(&source)) return std::move(*exit);

  std::atomic<int64_t> copied{0};
  const Reporter reporter(context.out, copied);
  return failed(mirror(*std::get<0>(source), *std::get<0>(destination), options, copied));
}

}  // namespace

void add_mirror_command(Command& root, Context& context) {
  auto command = std::make_unique<Command>();
  command->name = "make-mirror";
  command->arguments = "[options] <destination>";
  command->summary = "Copies keys to another cluster, and goes on with what changes";
  command->description =
      "Copies all keys, or those with a prefix, to another cluster (an endpoint of it), and then each change as it\n"
      "happens, until it is interrupted or something fails. Each revision is one transaction there. Every 30 seconds\n"
      "it prints how many puts and deletions it has copied.\n\n"
      "Leases are not copied: at the destination a key ends when its deletion arrives. What the destination has of "
      "its\n"
      "own stays. To go on after a stop, give --rev: the first revision that was not copied.";
  command->examples =
      "  kvctl make-mirror standby.example:2379\n"
      "  kvctl make-mirror --prefix /config/ --dest-prefix /imported/config/ standby.example:2379";
  command->group = kToolsGroup;
  auto flags = std::make_shared<MirrorFlags>();
  flags->declare(command->flags);
  command->run = [&context, flags, self = command.get()](const auto& arguments) {
    return run_mirror(context, *flags, self->flags.changed("dest-prefix"), arguments);
  };
  root.children.push_back(std::move(command));
}

}  // namespace kv::kvctl
