#include "kvctl/completion.h"

#include <algorithm>
#include <array>
#include <ostream>
#include <utility>

namespace kv::kvctl {
namespace {

struct FlagValues {
  std::string_view flag;
  std::vector<std::string_view> values;
};

const std::vector<FlagValues>& known_values() {
  static const std::vector<FlagValues> known = {
      {"write-out", {"simple", "fields", "json", "protobuf", "table"}},
      {"color", {"auto", "always", "never"}},
      {"consistency", {"l", "s"}},
      {"format", {"json", "yaml"}},
      {"load", {"s", "m", "l", "xl"}},
      {"order", {"ASCEND", "DESCEND"}},
      {"sort-by", {"CREATE", "KEY", "MODIFY", "VALUE", "VERSION"}},
  };
  return known;
}

const Command* child_named(const Command& command, std::string_view name) {
  for (const auto& child : command.children) {
    if (child->name == name) return child.get();
  }
  return nullptr;
}

const Flag* find_flag(const std::vector<const Command*>& path, std::string_view word) {
  for (const Command* command : path) {
    const Flag* flag = word.starts_with("--") ? command->flags.find(word.substr(2))
                       : word.size() == 2     ? command->flags.find(word[1])
                                              : nullptr;
    if (flag != nullptr) return flag;
  }
  return nullptr;
}

// `prefix` stands before each value, as in --write-out=json.
std::vector<Candidate> values_of(const Flag& flag, std::string_view begun, const std::string& prefix) {
  std::vector<Candidate> candidates;
  for (const FlagValues& known : known_values()) {
    if (known.flag != flag.name) continue;
    for (const std::string_view value : known.values) {
      if (value.starts_with(begun)) candidates.push_back({prefix + std::string(value)});
    }
  }
  return candidates;
}

constexpr std::string_view kBash = R"(# bash completion of kvctl: source <(kvctl completion bash)
_kvctl() {
  local word words=() IFS=$'\n'
  # Bash takes --flag=value apart; here it is one word.
  for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if ((${#words[@]})) && { [[ $word == "=" && ${words[-1]} == --* ]] || [[ ${words[-1]} == --*= ]]; }; then
      words[-1]+=$word
    else
      words+=("$word")
    fi
  done
  COMPREPLY=($(command kvctl __complete "${words[@]}" 2>/dev/null | cut -f 1))
  if [[ ${words[-1]} == --*=* ]]; then COMPREPLY=("${COMPREPLY[@]#*=}"); fi
}
complete -o default -F _kvctl kvctl
)";

constexpr std::string_view kZsh = R"(#compdef kvctl
# zsh completion of kvctl: source <(kvctl completion zsh), or as a file _kvctl in a folder of $fpath
_kvctl() {
  local -a lines described
  local line
  lines=("${(@f)$(command kvctl __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in $lines; do
    described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done
  if (( $#described )); then
    _describe kvctl described
  else
    _files
  fi
}
if [ "$funcstack[1]" = _kvctl ]; then
  _kvctl "$@"
else
  compdef _kvctl kvctl
fi
)";

constexpr std::string_view kFish = R"(# fish completion of kvctl: kvctl completion fish | source
function __kvctl_complete
    set -l words (commandline -opc) (commandline -ct)
    set -e words[1]
    command kvctl __complete $words 2>/dev/null
end
complete -c kvctl -f -a '(__kvctl_complete)'
)";

}  // namespace

std::vector<std::string_view> flags_with_values() {
  std::vector<std::string_view> flags;
  for (const FlagValues& known : known_values()) flags.push_back(known.flag);
  return flags;
}

std::vector<Candidate> complete(const Command& root, const std::vector<std::string>& words) {
  std::vector<const Command*> path = {&root};
  const Flag* open = nullptr;  // wants the next word as its value
  bool only_arguments = false;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (std::exchange(open, nullptr) != nullptr || only_arguments) continue;
    if (word == "--") {
      only_arguments = true;
    } else if (word.starts_with('-')) {
      const Flag* flag = find_flag(path, word);  // null for --flag=value, which is complete
      if (flag != nullptr && !flag->is_bool()) open = flag;
    } else if (const Command* child = child_named(*path.back(), word)) {
      path.push_back(child);
    }
  }
  const std::string begun = words.empty() ? "" : words.back();
  if (open != nullptr) return values_of(*open, begun, "");
  if (only_arguments) return {};
  std::vector<Candidate> candidates;
  if (begun.starts_with('-')) {
    if (const size_t equals = begun.find('='); equals != begun.npos) {
      const Flag* flag = find_flag(path, std::string_view(begun).substr(0, equals));
      if (flag == nullptr) return {};
      return values_of(*flag, std::string_view(begun).substr(equals + 1), begun.substr(0, equals + 1));
    }
    for (auto command = path.rbegin(); command != path.rend(); ++command) {
      for (const Flag& flag : (*command)->flags.all()) {
        std::string name = "--" + flag.name;
        if (name.starts_with(begun)) candidates.push_back({std::move(name), flag.usage});
      }
    }
    return candidates;
  }
  for (const auto& child : path.back()->children) {
    if (child->name.starts_with(begun)) candidates.push_back({child->name, child->summary});
  }
  return candidates;
}

void print_candidates(const std::vector<Candidate>& candidates, std::ostream& out) {
  for (const auto& [word, description] : candidates) out << word << '\t' << description << '\n';
}

std::string_view completion_script(std::string_view shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  if (shell == "fish") return kFish;
  return {};
}

}  // namespace kv::kvctl
