#include "kvctl/globals.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "kvctl/client_options.h"
#include "kvctl/dns_discovery.h"

namespace kv::kvctl {
namespace {

// At least a millisecond: zero would mean "the default" to the client.
std::chrono::milliseconds to_ms(std::chrono::nanoseconds duration) {
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(duration), std::chrono::milliseconds(1));
}

}  // namespace

void Globals::declare(Flags& flags) {
  flags.add("endpoints", endpoints, "servers to talk to; when one fails, the next is taken");
  flags.add("write-out,w", write_out, "output format: simple, fields, json, protobuf or table");
  flags.add("hex", hex, "print bytes as hexadecimal escapes");
  flags.add("dial-timeout", dial_timeout, "how long to wait for a connection to some endpoint");
  flags.add("command-timeout", command_timeout, "how long a command may take in all");
  flags.add("keepalive-time", keepalive_time, "ping a silent connection this often (10s at least)");
  flags.add("keepalive-timeout", keepalive_timeout, "give a connection up when a ping isn't answered for this long");
  flags.add("max-request-bytes", request_bytes_max, "largest request to send (0: 2 MiB)");
  flags.add("max-recv-bytes", receive_bytes_max, "largest answer to take (0: 2 GiB)");
  flags.add("insecure-transport", insecure_transport, "no TLS for endpoints without a scheme");
  flags.add("insecure-skip-tls-verify", insecure_skip_tls_verify, "take any server certificate: for tests only");
  flags.add("cacert", cacert, "CA certificates to verify servers with");
  flags.add("cert", cert, "this client's TLS certificate");
  flags.add("key", key, "the key of --cert");
  flags.add("user", user, "name, or name:password");
  flags.add("password", password, "password of --user");
  flags.add("auth-jwt-token", token, "token to show instead of --user");
  flags.add("color", color, "colours: auto (on a terminal, unless NO_COLOR is set), always or never");
  flags.add("discovery-srv,d", discovery_domain, "domain whose SRV records name the endpoints");
  flags.add("discovery-srv-name", discovery_name, "service name in those records: _etcd-client-ssl-NAME._tcp.DOMAIN");
  flags.add("insecure-discovery", insecure_discovery, "take endpoints without TLS from DNS, too");
  flags.add("debug", debug, "log what the transport does to standard error");
}

std::variant<std::monostate, Exit> Globals::read_environment(Flags& flags, const VariableReader& variable) {
  for (const Flag& flag : flags.all()) {
    if (flags.changed(flag.name)) continue;
    std::string name = flag.name;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(c == '-' ? '_' : std::toupper(c)); });
    for (const std::string prefix : {"KVCTL_", "ETCDCTL_"}) {
      const char* text = variable((prefix + name).c_str());
      if (text == nullptr || *text == '\0') continue;
      if (const auto error = flags.set(flag, text)) {
        return Exit{kExitError, *error, "The value comes from the environment: " + prefix + name + "."};
      }
      break;
    }
  }
  format_given = flags.changed("write-out");
  return {};
}

std::variant<std::monostate, Exit> Globals::discover() {
  if (discovery_domain.empty()) return {};
  auto found = discover_endpoints(discovery_domain, discovery_name, !insecure_discovery);
  if (!found.ok()) {
    return bad_args(found.status().text(), "Does DNS have them? dig SRV " +
                                               srv_name(true, discovery_name, discovery_domain) +
                                               "; or name the endpoints with --endpoints.");
  }
  endpoints = *std::move(found);
  return {};
}

std::variant<std::unique_ptr<Printer>, Exit> Context::printer() const {
  if (for_people()) return make_terminal_printer(globals.hex, out, err, out_terminal);
  auto made = make_printer(globals.write_out, globals.hex, out, err);
  if (made) return made;
  return bad_feature("unsupported output format", "--write-out takes simple, fields, json, protobuf or table.");
}

std::variant<std::unique_ptr<Printer>, Exit> Context::printer_for(Printed kind) const {
  auto made = printer();
  if (std::holds_alternative<Exit>(made) || std::get<0>(made)->can_print(kind)) return made;
  return bad_feature(globals.write_out + " not supported as output format",
                     kind == Printed::kSnapshots ? "Backups are printed as simple, fields, json or table."
                     : kind == Printed::kOperations || kind == Printed::kMemberChanges
                         ? "This is printed as simple, json or protobuf."
                     : kind == Printed::kEndpoints       ? "Endpoints are printed as simple, fields, json or table."
                     : kind == Printed::kLeaseRevocation ? "This is printed as simple, fields or json."
                                                         : "This is printed as simple, fields, json or protobuf.");
}

std::variant<std::unique_ptr<Client>, Exit> Context::client_for(std::vector<std::string> endpoints) const {
  auto options = client_options(*this, std::move(endpoints));
  if (auto* exit = std::get_if<Exit>(&options)) return std::move(*exit);
  auto made = Client::create(std::get<ClientOptions>(std::move(options)));
  if (!made.ok()) return bad_args(made.status().text());
  return std::move(made).value();
}

client::CallOptions Context::call_options() const { return {.timeout = to_ms(globals.command_timeout)}; }

}  // namespace kv::kvctl
