#include "kvctl/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "kvctl/go_format.h"

namespace kv::kvctl {

Flags::Flags() : app_(std::make_unique<CLI::App>()) {
  app_->set_help_flag();
  app_->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

Flags::~Flags() = default;

// `parse` sets the variable from a text or returns what is wrong with it.
template <typename Parse>
void Flags::add_option(std::string_view names, std::string type, std::string_view usage, std::string default_text,
                       Parse parse) {
  Flag flag;
  const size_t comma = names.find(',');
  flag.name = std::string(names.substr(0, comma));
  if (comma != names.npos) flag.shorthand = names.at(comma + 1);
  flag.type = std::move(type);
  flag.usage = std::string(usage);
  flag.default_text = std::move(default_text);
  app_->add_option_function<std::string>(
      "--" + flag.name,
      [parse](const std::string& text) mutable {
        if (const std::string error = parse(text); !error.empty()) throw CLI::ValidationError(error);
      },
      flag.usage);
  flags_.push_back(std::move(flag));
}

void Flags::add(std::string_view names, bool& value, std::string_view usage) {
  add_option(names, "bool", usage, value ? "true" : "", [&value](const std::string& text) {
    const auto parsed = go_parse_bool(text);
    if (parsed.ok()) value = parsed.value;
    return parsed.error;
  });
}

void Flags::add(std::string_view names, int64_t& value, std::string_view usage) {
  add_option(names, "int", usage, value == 0 ? "" : std::to_string(value), [&value](const std::string& text) {
    const auto parsed = go_parse_int(text, 0);
    if (parsed.ok()) value = parsed.value;
    return parsed.error;
  });
}

void Flags::add(std::string_view names, std::string& value, std::string_view usage) {
  add_option(names, "string", usage, value.empty() ? "" : go_quote(value), [&value](const std::string& text) {
    value = text;
    return std::string();
  });
}

void Flags::add(std::string_view names, std::vector<std::string>& value, std::string_view usage) {
  const std::string default_text = value.empty() ? "" : "[" + join(value, ",") + "]";
  add_option(names, "strings", usage, default_text, [&value, first = true](const std::string& text) mutable {
    if (std::exchange(first, false)) value.clear();
    for (size_t begin = 0; !text.empty();) {
      const size_t comma = text.find(',', begin);
      value.push_back(text.substr(begin, comma - begin));
      if (comma == text.npos) break;
      begin = comma + 1;
    }
    return std::string();
  });
}

void Flags::add(std::string_view names, std::chrono::nanoseconds& value, std::string_view usage) {
  add_option(names, "duration", usage, value.count() == 0 ? "" : go_duration(value), [&value](const std::string& text) {
    const auto parsed = go_parse_duration(text);
    if (parsed.ok()) value = parsed.value;
    return parsed.error;
  });
}

const Flag* Flags::find(std::string_view name) const {
  const auto at = std::find_if(flags_.begin(), flags_.end(), [&](const Flag& f) { return f.name == name; });
  return at == flags_.end() ? nullptr : &*at;
}

const Flag* Flags::find(char shorthand) const {
  const auto at = std::find_if(flags_.begin(), flags_.end(), [&](const Flag& f) { return f.shorthand == shorthand; });
  return at == flags_.end() ? nullptr : &*at;
}

bool Flags::changed(std::string_view name) const { return app_->count("--" + std::string(name)) > 0; }

std::optional<std::string> Flags::set(const Flag& flag, const std::string& text) {
  CLI::Option* option = app_->get_option("--" + flag.name);
  try {
    option->add_result(text);
    option->run_callback();
  } catch (const CLI::Error& error) {
    const std::string shown =
        flag.shorthand != '\0' ? std::string("-") + flag.shorthand + ", --" + flag.name : "--" + flag.name;
    return "invalid argument " + go_quote(text) + " for " + go_quote(shown) + " flag: " + error.what();
  }
  return std::nullopt;
}

}  // namespace kv::kvctl
