#include "conformance/differential/exchange.h"

#include <type_traits>
#include <vector>

namespace kv::differential {
namespace {

namespace pb = etcdserverpb;

// Long enough for a physical compaction on a busy machine; a server that hangs is a difference.
constexpr harness::milliseconds kTimeout{30000};

template <typename Response>
Answer answer(const grpc::Status& status, Response& response) {
  Answer out{.code = status.error_code(), .message = status.error_message()};
  if (status.ok()) {
    out.revision = response.header().revision();
    mask(response);
    out.response = response.DebugString();
  }
  return out;
}

}  // namespace

void mask(google::protobuf::Message& response) {
  const google::protobuf::Reflection* reflection = response.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(response, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (field->is_repeated()) {
      for (int i = 0; i < reflection->FieldSize(response, field); ++i) {
        mask(*reflection->MutableRepeatedMessage(&response, field, i));
      }
    } else {
      google::protobuf::Message* inner = reflection->MutableMessage(&response, field);
      if (auto* header = dynamic_cast<pb::ResponseHeader*>(inner)) {
        header->clear_cluster_id();
        header->clear_member_id();
        header->clear_raft_term();
      } else {
        mask(*inner);
      }
    }
  }
}

std::string Answer::to_string() const {
  if (code == grpc::StatusCode::OK) return "OK {\n" + response + "}";
  return "code " + std::to_string(code) + ": " + message;
}

Answer ask(harness::Client& client, const Request& request) {
  const auto context = harness::within(kTimeout);
  return std::visit(
      [&](const auto& r) -> Answer {
        using T = std::decay_t<decltype(r)>;
        if constexpr (std::is_same_v<T, pb::RangeRequest>) {
          pb::RangeResponse response;
          const grpc::Status status = client.kv->Range(context.get(), r, &response);
          return answer(status, response);
        } else if constexpr (std::is_same_v<T, pb::PutRequest>) {
          pb::PutResponse response;
          const grpc::Status status = client.kv->Put(context.get(), r, &response);
          return answer(status, response);
        } else if constexpr (std::is_same_v<T, pb::DeleteRangeRequest>) {
          pb::DeleteRangeResponse response;
          const grpc::Status status = client.kv->DeleteRange(context.get(), r, &response);
          return answer(status, response);
        } else if constexpr (std::is_same_v<T, pb::TxnRequest>) {
          pb::TxnResponse response;
          const grpc::Status status = client.kv->Txn(context.get(), r, &response);
          return answer(status, response);
        } else {
          pb::CompactionResponse response;
          const grpc::Status status = client.kv->Compact(context.get(), r, &response);
          return answer(status, response);
        }
      },
      request);
}

}  // namespace kv::differential
