// top: how the members are, over and over.
#include <unistd.h>

#include <condition_variable>
#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string_view>
#include <thread>
#include <utility>

#include "kvctl/client_options.h"
#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "kvctl/signals.h"
#include "kvctl/top_report.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;
using Clock = std::chrono::steady_clock;

struct TopFlags {
  std::chrono::nanoseconds interval = std::chrono::seconds(2);
  int64_t count = 0;
  bool once = false;
  bool cluster = true;
};

std::string time_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// Asks all members at once, so that one that is away costs its time-out once.
class Sampler {
 public:
  Sampler(const Context& context, ClientOptions options, bool cluster)
      : context_(context), options_(std::move(options)), cluster_(cluster), endpoints_(options_.endpoints) {}

  Status connect() { return client_for("").status(); }

  ClusterSample take() {
    ClusterSample sample{.time = time_text()};
    Client& any = **client_for("");
    // Both may fail where only members of another side of a cut can be reached: what is known stands.
    const auto members = any.member_list({.serializable = true}, context_.call_options());
    if (members.ok()) {
      known_ = members->members;
      if (cluster_) {
        endpoints_.clear();
        for (const client::Member& member : known_) {
          if (!member.client_urls.empty()) endpoints_.push_back(member.client_urls[0]);
        }
      }
    }
    sample.known = known_;
    if (const auto alarms = any.alarm_list(context_.call_options()); alarms.ok()) sample.alarms = alarms->alarms;
    sample.members.resize(endpoints_.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < endpoints_.size(); ++i) {
      const auto client = client_for(endpoints_[i]);
      threads.emplace_back(
          [this, client, &member = sample.members[i], &endpoint = endpoints_[i]] { ask(client, endpoint, member); });
    }
    for (std::thread& thread : threads) thread.join();
    return sample;
  }

 private:
  // Of one endpoint, or with "" of all that were given.
  Result<Client*> client_for(const std::string& endpoint) {
    auto& client = clients_[endpoint];
    if (client == nullptr) {
      ClientOptions options = options_;
      if (!endpoint.empty()) options.endpoints = {endpoint};
      auto created = Client::create(std::move(options));
      if (!created.ok()) return created.status();
      client = std::move(*created);
    }
    return client.get();
  }

  void ask(const Result<Client*>& client, const std::string& endpoint, MemberSample& member) const {
    member.endpoint = endpoint;
    if (!client.ok()) {
      member.error = error_text(client.status());
      return;
    }
    const auto status = (*client)->status(endpoint, context_.call_options());
    member.taken = Clock::now();
    if (!status.ok()) {
      member.error = error_text(status.status());
      return;
    }
    member.status = *status;
    auto metrics = read_metrics(endpoint, options_.tls, options_.call_timeout);
    if (metrics.ok()) {
      member.metrics = *std::move(metrics);
    } else {
      member.metrics_error = metrics.status().text();
    }
  }

  const Context& context_;
  const ClientOptions options_;
  const bool cluster_;
  std::vector<std::string> endpoints_;
  std::vector<client::Member> known_{};
  std::map<std::string, std::unique_ptr<Client>> clients_{};
};

// The whole of a terminal, drawn over and over; what was there before comes back.
class Screen {
 public:
  explicit Screen(std::ostream& out) : out_(out) { out_ << "\x1b[?1049h\x1b[?25l"; }
  ~Screen() { out_ << "\x1b[?25h\x1b[?1049l" << std::flush; }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void draw(std::string_view text) {
    out_ << "\x1b[H";
    for (const char c : text) {
      if (c == '\n') out_ << "\x1b[K";
      out_ << c;
    }
    out_ << "\x1b[J" << std::flush;
  }

 private:
  std::ostream& out_;
};

Exit run_top(const Context& context, const TopFlags& flags, const VariableReader& variable,
             const Arguments& arguments) {
  if (!arguments.empty()) return bad_args("top takes no arguments", "Name members with --endpoints.");
  if (flags.interval < std::chrono::milliseconds(100) || flags.interval > std::chrono::hours(24)) {
    return bad_args("--interval " + go_duration(flags.interval) + " is not possible", "It takes 100ms to 24h.");
  }
  if (flags.count < 0) return bad_args("--count must not be negative", "0 goes on until Ctrl-C.");
  const std::string& format = context.globals.write_out;
  if (format != "simple" && format != "json") {
    return bad_feature(format + " not supported as output format", "This is printed as simple or json.");
  }
  const Signals signals;
  auto options = client_options(context, context.globals.endpoints);
  if (auto* exit = std::get_if<Exit>(&options)) return std::move(*exit);
  Sampler sampler(context, std::get<ClientOptions>(std::move(options)), flags.cluster);
  if (Status status = sampler.connect(); !status.ok()) return failed(status);

  const int64_t wanted = flags.once ? 1 : flags.count;
  const bool json = format == "json";
  const char* term = variable("TERM");
  const bool redraws =
      context.out_terminal.is_terminal && !json && wanted == 0 && term != nullptr && std::string_view(term) != "dumb";
  std::optional<Screen> screen;
  if (redraws) screen.emplace(context.out);

  std::optional<ClusterSample> before;
  std::string last;
  std::mutex mutex;
  std::condition_variable_any sleep;
  bool answered = true;
  auto next = Clock::now();
  for (int64_t shown = 0; !signals.received();) {
    ClusterSample now = sampler.take();
    answered = false;
    for (const MemberSample& member : now.members) answered = answered || member.status;
    // There are no rates at first, which is worth no block of its own.
    if (before || redraws) {
      const ClusterSample* old = before ? &*before : nullptr;
      Terminal terminal = context.out_terminal;
      if (redraws) terminal.columns = terminal_of(STDOUT_FILENO, variable).columns;
      last = json ? top_json(old, now) : top_text(old, now, terminal);
      if (redraws) {
        screen->draw(last + "\nCtrl-C ends.\n");
      } else {
        context.out << (shown > 0 && !json ? "\n" : "") << last << std::flush;
      }
      if (++shown == wanted || !context.out) break;
    }
    before = std::move(now);
    next = std::max(next + std::chrono::duration_cast<Clock::duration>(flags.interval), Clock::now());
    std::unique_lock lock(mutex);
    sleep.wait_until(lock, signals.token(), next, [] { return false; });
  }
  if (redraws) {
    screen.reset();
    context.out << last;
  }
  if (!answered) return {kExitError, "no member answers", "See what each says: kvctl endpoint health"};
  return {};
}

}  // namespace

void add_top_command(Command& root, Context& context, const VariableReader& variable) {
  auto top = std::make_unique<Command>();
  top->name = "top";
  top->arguments = "[options]";
  top->summary = "Shows rates, lag and sizes of the members, live";
  top->description =
      "Shows the members over and over: who leads, how many entries each is behind, what it does in a second, its\n"
      "sizes, and the cluster's alarms. On a terminal the screen is drawn anew; into a pipe goes a block, or with -w\n"
      "json an object in a line, for each interval. Rates come from the members' /metrics.";
  top->examples =
      "  kvctl top\n"
      "  kvctl top --once\n"
      "  kvctl top --interval 10s -n 6 -w json";
  top->group = kClusterGroup;
  const auto flags = std::make_shared<TopFlags>();
  top->flags.add("interval", flags->interval, "between two looks at the members");
  top->flags.add("count,n", flags->count, "end after so many looks (0: at Ctrl-C)");
  top->flags.add("once", flags->once, "the same as --count 1");
  top->flags.add("cluster", flags->cluster, "ask every member of the cluster; =false: those of --endpoints");
  top->run = [&context, flags, variable](const Arguments& arguments) {
    return run_top(context, *flags, variable, arguments);
  };
  root.children.push_back(std::move(top));
}

}  // namespace kv::kvctl
