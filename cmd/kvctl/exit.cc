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
constexpr Hint kHints[] = {
    {"can be reached", "Is the server running there? Name other endpoints with --endpoints or KVCTL_ENDPOINTS."},
    {"can't be reached", "Is the server running there? Name other endpoints with --endpoints or KVCTL_ENDPOINTS."},
    {"context deadline exceeded",
     "The server was reached but gave no answer in time. Has the cluster a leader? See 'kvctl endpoint status', or "
     "allow more time with --command-timeout."},
    {"no leader", "Fewer than half of the members may be up: see 'kvctl endpoint health --cluster'."},
    {"required revision has been compacted", "That history is gone. Leave --rev out to read the newest revision."},
    {"required revision is a future revision",
     "'kvctl endpoint status -w json' shows the newest revision that there is."},
    {"requested lease not found", "The lease has expired or was revoked, or its ID isn't written in hexadecimal."},
    {"key is not provided", "The empty key can't be stored. --prefix with '' means every key."},
    {"database space exceeded", "Compact the history, then free its space on each member and disarm the alarm."},
    {"user name is empty", "The cluster asks who you are: give --user name:password."},
    {"duplicate key given in txn request", "Each key may be changed once in a branch of a transaction."},
    {"request is too large", "The server's limit is 1.5 MiB a request unless it was started with another."},
};

std::string_view go_code_name(Code code) { return code_name(code); }

}  // namespace

std::string error_text(const Status& status) {
  const std::string& text = status.text();
  const bool ours = text.starts_with("etcdserver: ") || text.starts_with("context ") || text.starts_with("mutex: ") ||
                    text.starts_with("election: ") || text.find("can be reached") != text.npos ||
                    text.find("can't be reached") != text.npos ||
                    (status.code() == Code::kInvalidArgument && text.find("endpoint ") == 0);
  if (ours) return text;
  return "rpc error: code = " + std::string(go_code_name(status.code())) + " desc = " + text;
}

Exit failed(const Status& status, int code) {
  std::string error = error_text(status);
  const auto* hint = std::find_if(std::begin(kHints), std::end(kHints),
                                  [&](const Hint& h) { return error.find(h.error) != error.npos; });
  return {code, std::move(error), hint == std::end(kHints) ? std::string() : std::string(hint->hint)};
}

}  // namespace kv::kvctl
