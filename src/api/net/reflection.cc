// Server reflection, v1 and v1alpha, over the descriptors that are linked into this program.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api/net/server.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace kv::api {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

// The two versions differ in their package's name only.
template <typename Request, typename Response>
class Reflection {
 public:
  static Response answer(const CallTable& table, const Request& request) {
    const DescriptorPool& pool = *DescriptorPool::generated_pool();
    Response response;
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    switch (request.message_request_case()) {
      case Request::kFileByFilename:
        add_file(response, pool.FindFileByName(request.file_by_filename()), request.file_by_filename());
        break;
      case Request::kFileContainingSymbol:
        add_file(response, pool.FindFileContainingSymbol(request.file_containing_symbol()),
                 request.file_containing_symbol());
        break;
      case Request::kFileContainingExtension: {
        const auto& wanted = request.file_containing_extension();
        const auto* type = pool.FindMessageTypeByName(wanted.containing_type());
        const FieldDescriptor* extension =
            type == nullptr ? nullptr : pool.FindExtensionByNumber(type, wanted.extension_number());
        add_file(response, extension == nullptr ? nullptr : extension->file(), wanted.containing_type());
        break;
      }
      case Request::kAllExtensionNumbersOfType:
        add_extensions(response, pool, request.all_extension_numbers_of_type());
        break;
      case Request::kListServices:
        for (const std::string& name : table.services()) {
          response.mutable_list_services_response()->add_service()->set_name(name);
        }
        break;
      default: set_error(response, Code::kInvalidArgument, "the request asks for nothing"); break;
    }
    return response;
  }

 private:
  static void set_error(Response& response, Code code, const std::string& text) {
    response.mutable_error_response()->set_error_code(static_cast<int>(code));
    response.mutable_error_response()->set_error_message(text);
  }

  static void add_file(Response& response, const FileDescriptor* file, const std::string& wanted) {
    if (file == nullptr) return set_error(response, Code::kNotFound, "not found: " + wanted);
    std::set<const FileDescriptor*> seen;
    add_with_dependencies(*response.mutable_file_descriptor_response(), *file, seen);
  }

  template <typename Files>
  static void add_with_dependencies(Files& files, const FileDescriptor& file, std::set<const FileDescriptor*>& seen) {
    if (!seen.insert(&file).second) return;
    google::protobuf::FileDescriptorProto proto;
    file.CopyTo(&proto);
    *files.add_file_descriptor_proto() = proto.SerializeAsString();
    for (int i = 0; i < file.dependency_count(); ++i) add_with_dependencies(files, *file.dependency(i), seen);
  }

  static void add_extensions(Response& response, const DescriptorPool& pool, const std::string& name) {
    const auto* type = pool.FindMessageTypeByName(name);
    if (type == nullptr) return set_error(response, Code::kNotFound, "not found: " + name);
    std::vector<const FieldDescriptor*> extensions;
    pool.FindAllExtensions(type, &extensions);
    auto& numbers = *response.mutable_all_extension_numbers_response();
    numbers.set_base_type_name(name);
    for (const FieldDescriptor* extension : extensions) numbers.add_extension_number(extension->number());
  }
};

template <typename Request, typename Response>
void add_version(CallTable& table, const std::string& service) {
  table.add(stream_row<Request, Response>(
      "/" + service + "/ServerReflectionInfo", Kind::kBidi, Right::kOpen,
      [&table](std::shared_ptr<ServerStream> stream) {
        constexpr size_t kMaxQueued = 1 << 20;
        stream->on_request = [&table, weak = std::weak_ptr(stream)](MessagePtr message) {
          const auto self = weak.lock();
          self->write(Reflection<Request, Response>::answer(table, static_cast<const Request&>(*message)));
          // One who asks and does not read is not asked for more.
          if (self->queued_bytes() < kMaxQueued) return;
          self->pause_reading();
          self->on_drained(kMaxQueued, [weak] {
            if (const auto again = weak.lock()) again->resume_reading();
          });
        };
        stream->on_half_close = [weak = std::weak_ptr(stream)] { weak.lock()->finish(Status::ok_status()); };
      }));
}

}  // namespace

void add_reflection(CallTable& table) {
  add_version<grpc::reflection::v1::ServerReflectionRequest, grpc::reflection::v1::ServerReflectionResponse>(
      table, "grpc.reflection.v1.ServerReflection");
  add_version<grpc::reflection::v1alpha::ServerReflectionRequest, grpc::reflection::v1alpha::ServerReflectionResponse>(
      table, "grpc.reflection.v1alpha.ServerReflection");
}

}  // namespace kv::api
