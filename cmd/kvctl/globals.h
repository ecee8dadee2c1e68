// The flags that every command has, and what they stand for: a client and a printer.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "client/client.h"
#include "kvctl/exit.h"
#include "kvctl/flags.h"
#include "kvctl/printer.h"
#include "kvctl/terminal.h"

namespace kv::kvctl {

struct Globals {
  std::vector<std::string> endpoints = {"127.0.0.1:2379"};
  std::string write_out = "simple";
  bool hex = false;
  std::chrono::nanoseconds dial_timeout = std::chrono::seconds(2);
  std::chrono::nanoseconds command_timeout = std::chrono::seconds(5);
  std::chrono::nanoseconds keepalive_time = std::chrono::seconds(2);
  std::chrono::nanoseconds keepalive_timeout = std::chrono::seconds(6);
  int64_t request_bytes_max = 0;
  int64_t receive_bytes_max = 0;
  bool insecure_transport = true;
  bool insecure_skip_tls_verify = false;
  std::string cert;
  std::string key;
  std::string cacert;
  std::string user;
  std::string password;
  std::string token;
  std::string color = "auto";
  std::string discovery_domain;
  std::string discovery_name;
  bool insecure_discovery = true;
  bool debug = false;

  // Declares the flags; `flags` must not outlive this object.
  void declare(Flags& flags);

  // With --discovery-srv, the endpoints are those that DNS tells.
  std::variant<std::monostate, Exit> discover();

  // Takes what the command line left open from KVCTL_<FLAG>, else from etcdctl's ETCDCTL_<FLAG>: endpoints from
  // KVCTL_ENDPOINTS. `variable` looks a variable up, null when it isn't set.
  std::variant<std::monostate, Exit> read_environment(Flags& flags, const VariableReader& variable);

  // True when the command line or the environment named a format.
  bool format_given = false;
};

// What a command works with. The streams outlive it.
struct Context {
  Globals globals{};
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  Terminal out_terminal{};
  Terminal err_terminal{};

  // Whether the output is for people: on a terminal, or coloured by --color=always, and no format was asked for.
  bool for_people() const { return !globals.format_given && (out_terminal.is_terminal || out_terminal.colour); }

  // The printer of --write-out, or why there is none; printer_for() also fails when it can't print `kind`.
  std::variant<std::unique_ptr<Printer>, Exit> printer() const;
  std::variant<std::unique_ptr<Printer>, Exit> printer_for(Printed kind) const;

  // A client for the endpoints of the flags, or for others with the same flags.
  std::variant<std::unique_ptr<Client>, Exit> client() const { return client_for(globals.endpoints); }
  std::variant<std::unique_ptr<Client>, Exit> client_for(std::vector<std::string> endpoints) const;

  client::CallOptions call_options() const;
};

}  // namespace kv::kvctl
