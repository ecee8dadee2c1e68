#include "kvctl/client_options.h"

#include <algorithm>
#include <utility>

#include "kvctl/go_format.h"
#include "kvctl/password_prompt.h"

namespace kv::kvctl {
namespace {

// At least a millisecond: zero would mean "the default" to the client.
std::chrono::milliseconds to_ms(std::chrono::nanoseconds duration) {
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(duration), std::chrono::milliseconds(1));
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t");
  return begin == text.npos ? "" : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

}  // namespace

std::variant<ClientOptions, Exit> client_options(const Context& context, std::vector<std::string> endpoints) {
  const Globals& globals = context.globals;
  ClientOptions options;
  options.endpoints = std::move(endpoints);
  for (auto& endpoint : options.endpoints) endpoint = trimmed(endpoint);
  if (options.endpoints.empty()) {
    return bad_args("no available endpoints", "Name at least one with --endpoints.");
  }
  options.dial_timeout = to_ms(globals.dial_timeout);
  options.call_timeout = to_ms(globals.command_timeout);
  options.keepalive_time = std::chrono::ceil<std::chrono::milliseconds>(globals.keepalive_time);
  options.keepalive_timeout = to_ms(globals.keepalive_timeout);
  if (globals.request_bytes_max > 0) options.send_bytes_max = static_cast<size_t>(globals.request_bytes_max);
  if (globals.receive_bytes_max > 0) options.receive_bytes_max = static_cast<size_t>(globals.receive_bytes_max);
  options.tls.ca_file = globals.cacert;
  options.tls.cert_file = globals.cert;
  options.tls.key_file = globals.key;
  options.tls.always = !globals.insecure_transport;
  options.tls.insecure_skip_verify = globals.insecure_skip_tls_verify;
  options.token = globals.token;
  if (!globals.token.empty()) return options;
  options.user = globals.user;
  options.password = globals.password;
  const size_t colon = globals.user.find(':');
  if (globals.password.empty() && colon != globals.user.npos) {
    options.user = globals.user.substr(0, colon);
    options.password = globals.user.substr(colon + 1);
  }
  if (!options.user.empty() && options.password.empty()) {
    const auto asked = ask_password("Password: ", context.out);
    if (!asked) {
      return bad_args("no password for user " + go_quote(options.user),
                      "Give it with --password, --user name:password or KVCTL_PASSWORD.");
    }
    options.password = *asked;
  }
  return options;
}

}  // namespace kv::kvctl
