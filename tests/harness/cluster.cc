#include "harness/cluster.h"

#include <fstream>
#include <sstream>
#include <thread>

#include "base/check.h"

namespace kv::harness {
namespace {

constexpr milliseconds kPoll{20};

std::string url(uint16_t port) { return "http://127.0.0.1:" + std::to_string(port); }

}  // namespace

Client::Client(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  // A connection is not shared with other Clients of the same address, and tries again soon after a restart.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);  // of one attempt to connect: its patience
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  channel = grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
  kv = etcdserverpb::KV::NewStub(channel);
  maintenance = etcdserverpb::Maintenance::NewStub(channel);
  cluster = etcdserverpb::Cluster::NewStub(channel);
}

std::unique_ptr<grpc::ClientContext> within(milliseconds timeout) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + timeout);
  // A synchronous channel makes progress only while a call waits on it: one that fails at once would never see the
  // connection come back.
  context->set_wait_for_ready(true);
  return context;
}

Cluster::Cluster(ClusterOptions options)
    : options_(std::move(options)), dir_("kvd-cluster"), ports_(2 * options_.members) {
  processes_.resize(static_cast<size_t>(options_.members));
  for (int i = 0; i < size(); ++i) clients_.push_back(connect(i));
}

std::string Cluster::endpoint(int member) const {
  return "127.0.0.1:" + std::to_string(ports_[2 * static_cast<size_t>(member)]);
}

std::string Cluster::log_path(int member) const { return (dir_.path() / ("m" + std::to_string(member) + ".log")); }

void Cluster::start(int member) {
  KV_CHECK(!running(member), "the member runs already");
  const auto i = static_cast<size_t>(member);
  std::string initial;
  for (int m = 0; m < size(); ++m) {
    if (m > 0) initial += ',';
    initial += "m" + std::to_string(m) + "=" + url(ports_[2 * static_cast<size_t>(m) + 1]);
  }
  const std::string name = "m" + std::to_string(member);
  const std::string client_url = url(ports_[2 * i]);
  const std::string peer_url = url(ports_[2 * i + 1]);
  std::vector<std::string> argv = {options_.binary,
                                   "--name=" + name,
                                   "--data-dir=" + (dir_.path() / name).string(),
                                   "--listen-client-urls=" + client_url,
                                   "--advertise-client-urls=" + client_url,
                                   "--listen-peer-urls=" + peer_url,
                                   "--initial-advertise-peer-urls=" + peer_url,
                                   "--initial-cluster=" + initial,
                                   "--initial-cluster-token=kvd-test",
                                   "--initial-cluster-state=new"};
  argv.insert(argv.end(), options_.extra_flags.begin(), options_.extra_flags.end());
  processes_[i] = std::make_unique<Process>(argv, log_path(member));
}

void Cluster::start_all() {
  for (int i = 0; i < size(); ++i) start(i);
}

Process& Cluster::process(int member) {
  Process* process = processes_.at(static_cast<size_t>(member)).get();
  KV_CHECK(process != nullptr, "the member was never started");
  return *process;
}

bool Cluster::running(int member) {
  Process* process = processes_.at(static_cast<size_t>(member)).get();
  return process != nullptr && process->running();
}

bool Cluster::wait_ready(int member, milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  const auto connection = connect(member);
  while (Clock::now() < deadline) {
    if (!running(member)) return false;
    etcdserverpb::RangeRequest request;
    request.set_key("ready?");
    etcdserverpb::RangeResponse response;
    if (connection->kv->Range(within(milliseconds(1000)).get(), request, &response).ok()) return true;
    std::this_thread::sleep_for(kPoll);
  }
  return false;
}

bool Cluster::wait_ready(milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  for (int i = 0; i < size(); ++i) {
    if (processes_[static_cast<size_t>(i)] == nullptr) continue;
    if (!wait_ready(i, std::chrono::duration_cast<milliseconds>(deadline - Clock::now()))) return false;
  }
  return true;
}

std::optional<int> Cluster::leader() {
  std::optional<int> found;
  uint64_t leader_id = 0;
  std::vector<uint64_t> believed;
  for (int i = 0; i < size(); ++i) {
    if (!running(i)) continue;
    etcdserverpb::StatusResponse response;
    if (!client(i).maintenance->Status(within(milliseconds(500)).get(), {}, &response).ok()) continue;
    believed.push_back(response.leader());
    if (response.leader() != 0 && response.leader() == response.header().member_id()) {
      found = i;
      leader_id = response.leader();
    }
  }
  for (const uint64_t id : believed) {
    if (id != leader_id) return std::nullopt;
  }
  return found;
}

std::optional<int> Cluster::wait_leader(milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (Clock::now() < deadline) {
    if (const auto found = leader()) return found;
    std::this_thread::sleep_for(kPoll);
  }
  return std::nullopt;
}

std::string Cluster::last_words(int member, size_t bytes) const {
  std::ifstream in(log_path(member));
  std::stringstream text;
  text << in.rdbuf();
  std::string all = text.str();
  return all.size() > bytes ? "..." + all.substr(all.size() - bytes) : all;
}

std::string Cluster::keep() {
  dir_.keep();
  return dir_.path();
}

}  // namespace kv::harness
