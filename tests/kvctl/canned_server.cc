// A server with one fixed answer to every call, made of what a real one seldom shows: learners, members that never
// started, alarms, quotas, downgrades, errors, ids with the highest bit set. golden.py asks it with both programs.
//
// Prints its port and serves until its standard input ends.
#include <grpcpp/grpcpp.h>

#include <iostream>
#include <limits>
#include <string>

#include "etcdserverpb/rpc.grpc.pb.h"

namespace {

namespace pb = etcdserverpb;
using grpc::ServerContext;
using grpc::Status;

void set_header(pb::ResponseHeader* header) {
  header->set_cluster_id(0xfedcba9876543210);
  header->set_member_id(0x0000000000000abc);
  header->set_revision(9223372036854775807);
  header->set_raft_term(18446744073709551615u);
}

void set_key_value(mvccpb::KeyValue* kv, const std::string& key) {
  kv->set_key(key);
  kv->set_create_revision(4);
  kv->set_mod_revision(9223372036854775807);
  kv->set_version(3);
  kv->set_value("value of " + key);
  kv->set_lease(static_cast<int64_t>(0x8000000000000001));
}

class KeyValues final : public pb::KV::Service {
  Status Range(ServerContext*, const pb::RangeRequest* request, pb::RangeResponse* response) override {
    if (request->key() == "denied") return Status(grpc::StatusCode::PERMISSION_DENIED, "etcdserver: permission denied");
    if (request->key() == "strange") return Status(grpc::StatusCode::INTERNAL, "no such text");
    if (request->key() == "no header") return Status::OK;
    set_header(response->mutable_header());
    for (const char* key : {"a", "\xff\x00z", ""}) set_key_value(response->add_kvs(), key);
    response->add_kvs();
    response->set_more(true);
    response->set_count(9223372036854775807);
    return Status::OK;
  }
  Status Put(ServerContext*, const pb::PutRequest*, pb::PutResponse* response) override {
    set_header(response->mutable_header());
    response->mutable_prev_kv();
    return Status::OK;
  }
  Status DeleteRange(ServerContext*, const pb::DeleteRangeRequest*, pb::DeleteRangeResponse* response) override {
    response->set_deleted(-1);
    set_key_value(response->add_prev_kvs(), "gone");
    return Status::OK;
  }
  Status Txn(ServerContext*, const pb::TxnRequest*, pb::TxnResponse* response) override {
    response->set_succeeded(true);
    response->add_responses()->mutable_response_range()->set_count(2);
    response->add_responses()->mutable_response_put()->mutable_header()->set_revision(7);
    set_key_value(response->add_responses()->mutable_response_delete_range()->add_prev_kvs(), "x");
    return Status::OK;
  }
  Status Compact(ServerContext*, const pb::CompactionRequest*, pb::CompactionResponse*) override { return Status::OK; }
};

class Members final : public pb::Cluster::Service {
  Status MemberList(ServerContext*, const pb::MemberListRequest*, pb::MemberListResponse* response) override {
    return answer(response);
  }
  Status MemberAdd(ServerContext*, const pb::MemberAddRequest* request, pb::MemberAddResponse* response) override {
    answer(response);
    // A short id is filled with blanks.
    response->mutable_member()->set_id(0xab);
    *response->mutable_member()->mutable_peerurls() = request->peerurls();
    response->mutable_member()->set_islearner(request->islearner());
    return Status::OK;
  }
  Status MemberRemove(ServerContext*, const pb::MemberRemoveRequest*, pb::MemberRemoveResponse* response) override {
    return answer(response);
  }
  Status MemberUpdate(ServerContext*, const pb::MemberUpdateRequest*, pb::MemberUpdateResponse* response) override {
    return answer(response);
  }
  Status MemberPromote(ServerContext*, const pb::MemberPromoteRequest*, pb::MemberPromoteResponse* response) override {
    return answer(response);
  }

  template <typename Response>
  static Status answer(Response* response) {
    set_header(response->mutable_header());
    auto* started = response->add_members();
    started->set_id(0xfedcba9876543210);
    started->set_name("größter <Knoten> & mehr");
    started->add_peerurls("http://a:1");
    started->add_peerurls("http://b:2");
    started->add_clienturls("http://a:3");
    started->add_clienturls("http://b:4");
    auto* learner = response->add_members();
    learner->set_id(0xab);
    learner->add_peerurls("http://c:1");
    learner->set_islearner(true);
    return Status::OK;
  }
};

class Maintenance final : public pb::Maintenance::Service {
  grpc::Status Status(ServerContext*, const pb::StatusRequest*, pb::StatusResponse* response) override {
    set_header(response->mutable_header());
    response->set_version("3.6.0");
    response->set_dbsize(123456789012);
    response->set_leader(0xabc);
    response->set_raftindex(1);
    response->set_raftterm(7);
    response->set_raftappliedindex(18446744073709551615u);
    response->add_errors("memberID:12 alarm:NOSPACE ");
    response->add_errors("etcdserver: no leader");
    response->set_dbsizeinuse(9950);
    response->set_islearner(true);
    response->set_storageversion("3.6.0");
    response->set_dbsizequota(8589934592);
    response->mutable_downgradeinfo()->set_enabled(true);
    response->mutable_downgradeinfo()->set_targetversion("3.5.0");
    return grpc::Status::OK;
  }
  grpc::Status HashKV(ServerContext*, const pb::HashKVRequest* request, pb::HashKVResponse* response) override {
    set_header(response->mutable_header());
    response->set_hash(4294967295u);
    response->set_compact_revision(-1);
    response->set_hash_revision(request->revision());
    return grpc::Status::OK;
  }
  grpc::Status Alarm(ServerContext*, const pb::AlarmRequest*, pb::AlarmResponse* response) override {
    set_header(response->mutable_header());
    for (const auto type : {pb::NOSPACE, pb::CORRUPT, pb::NONE}) {
      auto* alarm = response->add_alarms();
      alarm->set_memberid(12);
      alarm->set_alarm(type);
    }
    return grpc::Status::OK;
  }
};

}  // namespace

int main() {
  KeyValues key_values;
  Members members;
  Maintenance maintenance;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&key_values);
  builder.RegisterService(&members);
  builder.RegisterService(&maintenance);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  std::cout << port << std::endl;
  std::cin.ignore(std::numeric_limits<std::streamsize>::max());
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}
