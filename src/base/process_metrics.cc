#include "base/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>

namespace kv {
namespace {

// /proc/self/stat from its third field on (proc(5)); the second is the program's name, which may hold anything.
std::vector<double> stat_fields() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  std::vector<double> fields;
  if (name_end == std::string::npos) return fields;
  std::istringstream rest(line.substr(name_end + 1));
  std::string state;
  rest >> state;
  for (double field = 0; rest >> field;) fields.push_back(field);
  return fields;
}

// Fields by their number in proc(5); 0 where there is no /proc.
double stat_field(size_t number) {
  const std::vector<double> fields = stat_fields();
  return number - 4 < fields.size() ? fields[number - 4] : 0;
}
constexpr size_t kVirtualBytes = 23;
constexpr size_t kResidentPages = 24;
constexpr size_t kStartTicks = 22;

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double open_files() {
  std::error_code error;
  size_t n = 0;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end; it.increment(error))
    ++n;
  return n > 0 ? static_cast<double>(n - 1) : 0;  // without the one that lists them
}

double max_files() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

double start_time() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("btime ")) continue;
    return std::stod(line.substr(6)) + stat_field(kStartTicks) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  return 0;
}

}  // namespace

std::vector<std::shared_ptr<void>> serve_process_metrics(Metrics& metrics) {
  std::vector<std::shared_ptr<void>> handles;
  const auto gauge = [&](const char* name, const char* help, double (*read)()) {
    handles.push_back(metrics.gauge_callback(name, help, read));
  };
  handles.push_back(metrics.collect("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
                                    SampleType::kCounter, [] {
                                      return std::vector<Sample>{{{}, cpu_seconds()}};
                                    }));
  gauge("process_open_fds", "Number of open file descriptors.", open_files);
  gauge("process_max_fds", "Maximum number of open file descriptors.", max_files);
  gauge("os_fd_used", "The number of used file descriptors.", open_files);
  gauge("os_fd_limit", "The file descriptor limit.", max_files);
  gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", [] { return stat_field(kVirtualBytes); });
  gauge("process_resident_memory_bytes", "Resident memory size in bytes.",
        [] { return stat_field(kResidentPages) * static_cast<double>(sysconf(_SC_PAGESIZE)); });
  const double started = start_time();
  handles.push_back(metrics.gauge_callback("process_start_time_seconds",
                                           "Start time of the process since unix epoch in seconds.",
                                           [started] { return started; }));
  return handles;
}

}  // namespace kv
