// The global flags as what a client is made with.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "client/client.h"
#include "kvctl/exit.h"
#include "kvctl/globals.h"

namespace kv::kvctl {

// --user without a password asks for it at the terminal, as etcdctl does.
std::variant<ClientOptions, Exit> client_options(const Context& context, std::vector<std::string> endpoints);

}  // namespace kv::kvctl
