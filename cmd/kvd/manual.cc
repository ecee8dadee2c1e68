#include "manual.h"

#include <CLI/CLI.hpp>

#include "man/page.h"

namespace kvd {
namespace {

using kv::man::bold;
using kv::man::italic;
using kv::man::Page;
using kv::man::Roff;

void add_option(Page& page, const CLI::Option& option) {
  std::string names;
  for (const std::string& name : option.get_lnames()) {
    if (!name.starts_with("no-")) names += (names.empty() ? "--" : ", --") + name;
  }
  const std::string value = option.get_default_str();
  page.item(bold(names) + (value.empty() ? "" : " [" + value + "]"), option.get_description());
  if (!option.get_envname().empty()) page.paragraph("Variable: " + option.get_envname());
}

void add_options(Page& page, const CLI::App& app) {
  page.section("OPTIONS");
  page.prose(
      "A flag begins with one dash or two, and takes its value as --name=value or --name value. What stands in "
      "brackets is the default. A flag without a value is on; --name=false or --no-name switches it off.\n\n" +
      app.get_footer());
  for (const std::string& group : app.get_groups()) {
    const auto options = app.get_options([&](const CLI::Option* option) { return option->get_group() == group; });
    if (group.empty() || options.empty()) continue;
    page.subsection(group);
    for (const CLI::Option* option : options) add_option(page, *option);
  }
}

void add_signals(Page& page) {
  page.section("SIGNALS");
  page.item(bold("SIGTERM") + ", " + bold("SIGINT"),
            "stop: calls in flight end, leadership moves to another member, the state is written to disk");
  page.item(bold("SIGUSR1"), "log what --log-level debug logs");
  page.item(bold("SIGUSR2"), "log what --log-level says again");
}

void add_exit_status(Page& page) {
  page.section("EXIT STATUS");
  page.item(bold("0"), "stopped by a signal, or --help or --version was asked for");
  page.item(bold("1"),
            "what it can't go on from, told in a line on standard error: flags that contradict each other, a port in "
            "use, a disk that failed, damaged files");
  page.item(bold("3"), "the member was removed from its cluster; it ends so at every later start, too");
}

void add_files(Page& page) {
  page.section("FILES");
  page.item(
      bold("kvd.data") + ", " + italic("NAME") + bold(".kvd"),
      "the data directory, unless --data-dir names another; made with mode 0700. A copy of it while the member runs "
      "is no backup: use kvctl snapshot save.");
  page.item(bold("/etc/kvd/kvd.env"), "the variables of the service: one KVD_... a line");
  page.item(bold("/var/lib/kvd"), "the data directory of the service");
  page.item(bold("kvd.service"), "the systemd unit; it is installed, and not enabled");
}

void add_examples(Page& page) {
  page.section("EXAMPLES");
  page.prose("A single member, to try things out:");
  page.example("kvd --data-dir /tmp/kvd-demo");
  page.prose("One of three members; the other two differ in name and addresses only:");
  page.example(
      "kvd --name m1 --data-dir /var/lib/kvd \\\n"
      "  --listen-client-urls http://10.0.0.1:2379 --advertise-client-urls http://10.0.0.1:2379 \\\n"
      "  --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \\\n"
      "  --initial-cluster m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380");
}

}  // namespace

std::string manual(const CLI::App& app) {
  Page page("kvd", 8, "System Administration");
  page.section("NAME");
  page.paragraph("kvd - a replicated key-value store that speaks etcd's API");
  page.section("SYNOPSIS");
  page.paragraph(bold("kvd") + " [options]");
  page.section("DESCRIPTION");
  page.prose(
      "kvd keeps a cluster's configuration and the addresses of its services. A cluster of three or five members "
      "agrees "
      "on every change by Raft, and goes on while a majority of them runs. It answers etcd's v3 API, by gRPC and by "
      "JSON, "
      "so that etcd's clients work without a change; kvctl is its own.");
  add_options(page, app);
  page.section("ENVIRONMENT");
  page.prose(
      "Every flag can be a variable, whose name stands below it: --data-dir is KVD_DATA_DIR. A flag wins over its "
      "variable, a variable over the file of --config-file.");
  add_signals(page);
  add_exit_status(page);
  add_files(page);
  add_examples(page);
  page.section("SEE ALSO");
  page.paragraph(bold("kvctl") + "(1), " + bold("etcd") + "(1)");
  return page.text();
}

}  // namespace kvd
