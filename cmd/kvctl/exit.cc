#include "kvctl/exit.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace kv::kvctl {
namespace {

// By a part of the error's text.
struct Hint {
  std::string_view error;
  std::string_view hint;
};
constexpr std::string_view kReach =
    "Is kvd running there? Name other endpoints with --endpoints or KVCTL_ENDPOINTS: kvctl --endpoints HOST:2379 ...";
// The first that fits is taken, so what is more special comes first.
constexpr Hint kHints[] = {
    {"wrong version number", "That port speaks without TLS: write http:// before the endpoint, or no scheme at all."},
    {"certificate verify failed",
     "The server's certificate isn't signed by a CA that is known here: name its CA with --cacert FILE."},
    {"is not in peer certificate",
     "The server's certificate is for other names: write the endpoint with a host that stands in it."},
    {"Socket closed",
     "The server took the connection and closed it. If it speaks TLS, write https:// before the endpoint, and give "
     "--cacert FILE (and --cert and --key where it asks for a certificate)."},
    {"ertificate required", "The server asks for a client certificate: give --cert FILE and --key FILE."},
    {"can be reached", kReach},
    {"can't be reached", kReach},
    {"context deadline exceeded",
     "The server was reached but gave no answer in time. Has the cluster a leader? See 'kvctl endpoint status', or "
     "allow more time with --command-timeout."},
    {"no leader", "Fewer than half of the members may be up: see 'kvctl endpoint health --cluster'."},
    {"required revision has been compacted", "That history is gone. Leave --rev out to read the newest revision."},
    {"required revision is a future revision",
     "'kvctl endpoint status -w json' shows the newest revision that there is."},
    {"requested lease not found", "The lease has expired or was revoked, or its ID isn't written in hexadecimal."},
    {"key is not provided", "The empty key can't be stored. --prefix with '' means every key."},
    {"database space exceeded",
     "1. forget old history: kvctl compaction REVISION (kvctl endpoint status -w json shows the newest); "
     "2. free its space: kvctl defrag --cluster; 3. allow writes again: kvctl alarm disarm."},
    {"user name is empty",
     "The cluster asks who you are: give --user NAME (it asks for the password) or --user NAME:PASSWORD."},
    {"invalid user ID or password", "Name and password don't match: give them again with --user NAME:PASSWORD."},
    {"invalid auth token", "The token is unknown or too old: give --user NAME:PASSWORD, or a new --auth-jwt-token."},
    {"permission denied",
     "The user may not do this. Root sees what it may: kvctl user get NAME --detail; and gives more: kvctl role "
     "grant-permission."},
    {"corrupt cluster", "Members differ: compare them with 'kvctl endpoint hashkv --cluster'."},
    {"member not found", "'kvctl member list' shows the ids."},
    {"not leader", "Ask the leader's endpoint: 'kvctl endpoint status --cluster' says who leads."},
    {"duplicate key given in txn request", "Each key may be changed once in a branch of a transaction."},
    {"request is too large", "The server's limit is 1.5 MiB a request unless it was started with another."},
};

std::string_view go_code_name(Code code) { return code_name(code); }

}  // namespace

std::string error_text(const Status& status) {
  const std::string& text = status.text();
  const bool ours = text.starts_with("etcdserver: ") || text.starts_with("context ") || text.starts_with("mutex: ") ||
                    text.starts_with("election: ") || text.starts_with("semaphore: ") || text.find("can be reached") != text.npos ||
                    text.find("can't be reached") != text.npos ||
                    (status.code() == Code::kInvalidArgument && text.find("endpoint ") == 0);
  if (ours) return text;
  return "rpc error: code = " + std::string(go_code_name(status.code())) + " desc = " + text;
}

Exit failed(const Status& status, int code) {
  std::string error = error_text(status);
  // etcdctl shows its password when it connects.
  if (error.find("authentication failed") != error.npos) code = kExitBadConnection;
  const auto* hint = std::find_if(std::begin(kHints), std::end(kHints),
                                  [&](const Hint& h) { return error.find(h.error) != error.npos; });
  return {code, std::move(error), hint == std::end(kHints) ? std::string() : std::string(hint->hint)};
}

}  // namespace kv::kvctl
