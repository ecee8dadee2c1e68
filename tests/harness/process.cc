#include "harness/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace kv::harness {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

// Between fork and exec: only calls that are safe there.
[[noreturn]] void become(char* const* argv, int in, int out, int err, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  setpgid(0, 0);  // a Ctrl-C at the terminal is ours to pass on
  dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  close_range(3, ~0U, 0);
  execvp(argv[0], argv);
  constexpr char kText[] = "exec failed\n";
  [[maybe_unused]] const ssize_t n = write(2, kText, sizeof kText - 1);
  _exit(127);
}

ExitCode decode(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status); }

}  // namespace

Process::Process(const std::vector<std::string>& argv, const std::string& log_path, std::optional<int> input) {
  const int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  KV_CHECK(log >= 0, "can't open " + log_path);
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const std::vector<char*> words = pointers(argv);
  const pid_t parent = getpid();
  pid_ = fork();
  KV_CHECK(pid_ >= 0, std::string("fork: ") + std::strerror(errno));
  if (pid_ == 0) become(words.data(), input.value_or(null), log, log, parent);
  close(log);
  close(null);
}

Process::~Process() { kill(); }

bool Process::running() { return !wait(std::chrono::milliseconds(0)); }

void Process::signal(int number) {
  if (!exit_) ::kill(pid_, number);
}

std::optional<ExitCode> Process::wait(std::chrono::milliseconds timeout) {
  if (exit_) return exit_;
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  KV_CHECK(fd >= 0, std::string("pidfd_open: ") + std::strerror(errno));
  pollfd waiting{fd, POLLIN, 0};
  const int ready = poll(&waiting, 1, static_cast<int>(timeout.count()));
  close(fd);
  if (ready <= 0) return std::nullopt;
  int status = 0;
  KV_CHECK(waitpid(pid_, &status, 0) == pid_, "waitpid failed");
  exit_ = decode(status);
  return exit_;
}

void Process::kill() {
  if (exit_) return;
  ::kill(pid_, SIGKILL);
  wait(std::chrono::seconds(30));
}

Output run(const std::vector<std::string>& argv, const std::string& input, const std::vector<std::string>& environment,
           std::chrono::milliseconds timeout) {
  int in[2];
  int out[2];
  int err[2];
  KV_CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0, "pipe failed");
  std::vector<std::string> names;
  for (char** e = environ; *e != nullptr; ++e) names.emplace_back(*e);
  names.insert(names.end(), environment.begin(), environment.end());
  std::vector<char*> env = pointers(names);
  const std::vector<char*> words = pointers(argv);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  KV_CHECK(pid >= 0, "fork failed");
  if (pid == 0) {
    environ = env.data();
    become(words.data(), in[0], out[1], err[1], parent);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  // Inputs are a few lines and fit into the pipe; a command that does not read them must not end us.
  ::signal(SIGPIPE, SIG_IGN);
  KV_CHECK(input.size() < 60000, "the input does not fit into a pipe");
  [[maybe_unused]] const ssize_t written = write(in[1], input.data(), input.size());
  close(in[1]);

  Output result;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  pollfd fds[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  std::string* texts[2] = {&result.out, &result.err};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0 || poll(fds, 2, static_cast<int>(left)) == 0) {
      ::kill(pid, SIGKILL);
      break;
    }
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      char buffer[16384];
      const ssize_t n = read(fds[i].fd, buffer, sizeof buffer);
      if (n > 0) {
        texts[i]->append(buffer, static_cast<size_t>(n));
      } else {
        fds[i].fd = -1;
      }
    }
  }
  close(out[0]);
  close(err[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  result.exit = decode(status);
  return result;
}

}  // namespace kv::harness
