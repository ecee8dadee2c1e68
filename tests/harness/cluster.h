// Members of kvd, or of Debian's etcd (both take the same flags), each a process with a data directory and ports of
// its own, and the gRPC stubs to talk to them.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "etcdserverpb/rpc.grpc.pb.h"
#include "harness/files.h"
#include "harness/process.h"

namespace kv::harness {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The stubs of one endpoint, on a connection of their own. Threads may share it.
struct Client {
  explicit Client(const std::string& endpoint);

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<etcdserverpb::KV::Stub> kv;
  std::unique_ptr<etcdserverpb::Maintenance::Stub> maintenance;
  std::unique_ptr<etcdserverpb::Cluster::Stub> cluster;
};

// A context that gives up after `timeout`, and not before: a call waits for the connection.
std::unique_ptr<grpc::ClientContext> within(milliseconds timeout);

struct ClusterOptions {
  std::string binary = {};  // the program: a path, or a name that is looked up in $PATH
  int members = 1;
  std::vector<std::string> extra_flags = {};  // for every member
};

class Cluster {
 public:
  // Makes directories and takes ports; starts nothing.
  explicit Cluster(ClusterOptions options);

  int size() const { return options_.members; }
  std::string endpoint(int member) const;  // "127.0.0.1:12345"
  std::string log_path(int member) const;
  const Ports& ports() const { return ports_; }

  // Starts a member that does not run; with its data of before if it has any.
  void start(int member);
  void start_all();
  Process& process(int member);
  bool running(int member);

  // True once every running member answers a linearizable read. False after `timeout`, or as soon as a member
  // has ended by itself.
  bool wait_ready(milliseconds timeout = std::chrono::seconds(30));
  // Likewise for one member.
  bool wait_ready(int member, milliseconds timeout);

  Client& client(int member) { return *clients_.at(static_cast<size_t>(member)); }
  // A fresh connection, which knows nothing of a back-off that the shared one may be in.
  std::unique_ptr<Client> connect(int member) const { return std::make_unique<Client>(endpoint(member)); }

  // The running member that says it leads, and that no running member contradicts; nothing when there is none.
  std::optional<int> leader();
  std::optional<int> wait_leader(milliseconds timeout = std::chrono::seconds(30));

  // What the members said last, for a failed test's message.
  std::string last_words(int member, size_t bytes = 2000) const;
  // Leaves directories in place when the cluster goes; their place is returned.
  std::string keep();

 private:
  ClusterOptions options_;
  TempDir dir_;
  Ports ports_;  // two a member: client, peer
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace kv::harness
