// Who may ask by plain HTTP: names under which this server may be asked (--host-whitelist), and web pages that a
// browser may let read the answers (--cors). As etcd's server/embed decides.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/net/http.h"

namespace kv::api {

class AccessRules {
 public:
  // "*" in a list, or an empty list of hosts, allows all.
  AccessRules(const std::vector<std::string>& cors, const std::vector<std::string>& hosts);

  // The answer to a request that is not let in: its Host is none of the allowed ones. A web page could otherwise have
  // its own name resolve to this server's address, and read and write as if it came from here (DNS rebinding,
  // CVE-2018-5702). What came by TLS is let in, as by etcd: there a name that is not the server's has no certificate,
  // and the browser does not go on.
  std::optional<HttpResponse> refuse(const HttpRequest& request) const;
  // The CORS headers of the answer.
  void add_headers(const HttpRequest& request, HttpFields& fields) const;

 private:
  std::set<std::string, std::less<>> origins_;
  std::set<std::string, std::less<>> hosts_;
};

}  // namespace kv::api
