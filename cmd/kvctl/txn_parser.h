// The text of a transaction, as etcdctl's txn reads it from its input: three lists of lines, each ended by a blank one.
//
//   mod("key1") > "0"              comparisons: TARGET("key") OP "operand"
//                                    TARGET is create (c), mod (m), version (ver), value (val) or lease; OP is = != < >
//   put key1 "overwrote-key1"      requests for when all comparisons hold
//
//   put key1 "created-key1"        requests for when one doesn't
//   get --prefix key
//
// The key and the operand of a comparison are quoted ("..." with Go's escapes, or `...`) with a space on each side of
// the operator. The words of a request are split at spaces; 'single quotes' keep everything, "double quotes" know
// Go's escapes. Requests are get, put and del with their commands' flags.
#pragma once

#include <functional>
#include <istream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "client/txn.h"
#include "kvctl/exit.h"

namespace kv::kvctl {

// One comparison. `line` has no space at its ends.
std::variant<client::Compare, Exit> parse_compare(std::string_view line);

// One request. `line` has no space at its ends.
std::variant<client::Op, Exit> parse_request(std::string_view line);

// The words of a request line, without their quotes. A quote that is never closed is left out, as etcdctl does.
std::variant<std::vector<std::string>, Exit> split_words(std::string_view line);

// The whole transaction. `prompt` is called with the heading of each list before it is read. Input that ends before the
// third list's blank line is an error: a transaction that was cut short is not carried out.
std::variant<client::Txn, Exit> read_txn(std::istream& in, const std::function<void(std::string_view)>& prompt);

}  // namespace kv::kvctl
