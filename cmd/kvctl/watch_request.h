// What watch's command line, or a line of its interactive mode, asks for. All checks and their texts are etcdctl's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "client/watch.h"
#include "kvctl/exit.h"
#include "kvctl/flags.h"

namespace kv::kvctl {

struct WatchFlags {
  bool interactive = false;
  bool prefix = false;
  int64_t rev = 0;
  bool prev_kv = false;
  bool progress_notify = false;

  void declare(Flags& flags);
};

// From ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END, or KVCTL_'s; empty: not set.
struct WatchVariables {
  std::string key{};
  std::string range_end{};
};

struct WatchRequest {
  std::string key{};
  client::WatchOptions options{};
  std::vector<std::string> command{};  // run for each event; empty: none
};

// `separator` is how many of `arguments` stood before "--", if that was there.
std::variant<WatchRequest, Exit> watch_request(const WatchFlags& flags, const std::vector<std::string>& arguments,
                                               std::optional<size_t> separator, const WatchVariables& variables);

// A line of the interactive mode.
struct WatchLine {
  enum class Kind : uint8_t {
    kWatch,
    kProgress,
    kInvalid,  // `complaint` is printed, and the next line read
  } kind = Kind::kInvalid;
  WatchRequest request{};
  std::string complaint{};
};

// "watch [options] <key> [range_end] [-- command args]" or "progress". An Exit ends the mode, as it does etcdctl's.
std::variant<WatchLine, Exit> read_watch_line(const std::string& line, const WatchVariables& variables);

}  // namespace kv::kvctl
