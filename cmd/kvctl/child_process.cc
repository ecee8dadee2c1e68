#include "kvctl/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <string_view>

#include "kvctl/go_format.h"

extern char** environ;

namespace kv::kvctl {
namespace {

std::string lower_first(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::vector<std::string> environment(const std::vector<std::pair<std::string, std::string>>& variables) {
  std::vector<std::string> all;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view text(*at);
    const auto is = [&](const auto& variable) { return text.substr(0, text.find('=')) == variable.first; };
    if (std::none_of(variables.begin(), variables.end(), is)) all.emplace_back(text);
  }
  for (const auto& [name, value] : variables) all.push_back(name + '=' + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& s : strings) out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

ChildExit not_started(const std::string& name, int error) {
  if (name.find('/') == name.npos) return {1, "exec: " + go_quote(name) + ": executable file not found in $PATH"};
  return {1, "fork/exec " + name + ": " + lower_first(::strerror(error))};
}

}  // namespace

ChildExit run_child(const std::vector<std::string>& argv,
                    const std::vector<std::pair<std::string, std::string>>& variables, ChildInput input) {
  std::vector<std::string> args = argv;
  std::vector<std::string> env = environment(variables);
  const std::vector<char*> arg_pointers = pointers(args);
  const std::vector<char*> env_pointers = pointers(env);

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  if (input == ChildInput::kNothing) posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, args[0].c_str(), &files, &attributes, arg_pointers.data(), env_pointers.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return not_started(argv[0], error);

  int state = 0;
  while (::waitpid(pid, &state, 0) < 0) {
    if (errno != EINTR) return {1, std::string("wait: ") + ::strerror(errno)};
  }
  if (WIFSIGNALED(state)) return {255, std::string("signal: ") + lower_first(::strsignal(WTERMSIG(state)))};
  const int code = WEXITSTATUS(state);
  if (code == 0) return {};
  return {code, "exit status " + std::to_string(code)};
}

}  // namespace kv::kvctl
