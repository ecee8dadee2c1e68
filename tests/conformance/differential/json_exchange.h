// One request to one server's JSON gateway, and its answer in the form in which answers are compared.
#pragma once

#include <string>

#include "conformance/differential/exchange.h"

namespace kv::differential {

// `endpoint`: "127.0.0.1:12345". The request is written as JSON in one of the ways that a gateway must take (names in
// either case, integers as numbers or strings, base64 of either alphabet), chosen by `variant`. The response is the
// body as it came, order of fields included, with ids and raft term masked.
Answer ask_json(const std::string& endpoint, const Request& request, uint64_t variant);

// "404 application/json": status and type of content of the answer to any request; empty when there is none.
std::string ask_http(const std::string& endpoint, const std::string& method, const std::string& path,
                     const std::string& body);

}  // namespace kv::differential
