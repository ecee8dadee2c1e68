// The flags of one command. CLI11 holds them and sets their values; how they are written on the command line is
// pflag's way (etcdctl's), which command_line.h reads.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;  // its header costs five seconds a file, so flags.cc alone includes it
}

namespace kv::kvctl {

struct Flag {
  std::string name;       // without the dashes
  char shorthand = '\0';  // '\0': none
  std::string type;       // bool, int, string, strings or duration
  std::string usage;
  std::string default_text;  // as --help shows it; empty: not at all

  bool is_bool() const { return type == "bool"; }
};

class Flags {
 public:
  Flags();
  ~Flags();
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;

  // Each binds a flag to a variable, which must outlive this object and holds the default. `names` is "name" or
  // "name,n" with a shorthand.
  void add(std::string_view names, bool& value, std::string_view usage);
  void add(std::string_view names, int64_t& value, std::string_view usage);
  void add(std::string_view names, std::string& value, std::string_view usage);
  // Comma-separated; the first use replaces the default, further ones add.
  void add(std::string_view names, std::vector<std::string>& value, std::string_view usage);
  void add(std::string_view names, std::chrono::nanoseconds& value, std::string_view usage);

  const Flag* find(std::string_view name) const;
  const Flag* find(char shorthand) const;
  const std::vector<Flag>& all() const { return flags_; }
  // True once set() was called for it.
  bool changed(std::string_view name) const;

  // Sets one flag from its text; the error is pflag's.
  std::optional<std::string> set(const Flag& flag, const std::string& text);

 private:
  template <typename Parse>
  void add_option(std::string_view names, std::string type, std::string_view usage, std::string default_text,
                  Parse parse);

  std::unique_ptr<CLI::App> app_;
  std::vector<Flag> flags_;
};

}  // namespace kv::kvctl
