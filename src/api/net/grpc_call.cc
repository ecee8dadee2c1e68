#include "api/net/grpc_call.h"

#include <array>
#include <string>

#include "api/net/block_pool.h"
#include "api/net/grpc_stream_call.h"
#include "api/net/grpc_unary_call.h"

namespace kv::api {
namespace {

constexpr std::array<std::string_view, kCodes> kCodeTexts = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                                             "9", "10", "11", "12", "13", "14", "15", "16"};
std::string_view text_of(Code code) { return kCodeTexts[static_cast<size_t>(code)]; }

constexpr HeaderField kStatusOk{":status", "200", true};
constexpr HeaderField kContentType{"content-type", "application/grpc", true};
constexpr HeaderField kEncodingGzip{"grpc-encoding", "gzip", true};
constexpr HeaderField kGrpcOk{"grpc-status", "0", true};

using Metadata = std::vector<std::pair<std::string, std::string>>;

// Fields of a head or of trailers on their way to the session; keeps what had to be encoded.
class Fields {
 public:
  void add(HeaderField field) { fields_.push_back(field); }
  void add_encoded(std::string_view name, std::string value) {
    encoded_.push_back(std::make_unique<std::string>(std::move(value)));
    fields_.push_back({name, *encoded_.back()});
  }
  void add_metadata(const Metadata& metadata) {
    for (const auto& [key, value] : metadata) {
      if (key.ends_with("-bin")) {
        add_encoded(key, base64_encode(value));
      } else {
        fields_.push_back({key, value});
      }
    }
  }
  std::span<const HeaderField> get() const { return fields_; }

 private:
  std::vector<HeaderField> fields_;
  std::vector<std::unique_ptr<std::string>> encoded_;
};

void add_status(Fields& fields, const Status& status) {
  fields.add({"grpc-status", text_of(status.code()), true});
  if (!status.text().empty()) fields.add_encoded("grpc-message", percent_encode(status.text()));
}

// Takes the metadata of `head` into `context`.
Status fill_context(CallContext& context, RequestHead& head, Http2Session& session) {
  context.peer = session.peer();
  // Only here: a request by the JSON gateway is nobody's by its certificate (CVE-2018-16886).
  context.certificate_user = session.certificate_user();
  context.metadata = std::move(head.headers);
  head.headers.clear();
  std::string authorization;
  for (size_t i = 0; i < context.metadata.size(); ++i) {
    auto& [key, value] = context.metadata[i];
    if (key.ends_with("-bin")) {
      // Several values of one key may come joined by commas.
      std::string_view rest = value;
      Metadata more;
      while (true) {
        const size_t comma = rest.find(',');
        std::optional<std::string> bytes = base64_decode(rest.substr(0, comma));
        if (!bytes) return {Code::kInternal, "malformed binary metadata in header \"" + key + "\""};
        more.emplace_back(key, std::move(*bytes));
        if (comma == std::string_view::npos) break;
        rest.remove_prefix(comma + 1);
      }
      value = std::move(more.front().second);
      const auto place = context.metadata.begin() + static_cast<ptrdiff_t>(i) + 1;
      context.metadata.insert(place, std::make_move_iterator(more.begin() + 1), std::make_move_iterator(more.end()));
      i += more.size() - 1;
    } else if (key == "token") {
      context.token = value;
    } else if (key == "authorization") {
      // As etcd has it: where there is no `token`.
      authorization = value;
    } else if (key == "hasleader") {
      context.has_leader = value == "true";
    }
  }
  if (context.token.empty()) context.token = std::move(authorization);
  if (!head.timeout.empty()) {
    const std::optional<int64_t> timeout_ms = parse_timeout_ms(head.timeout);
    if (!timeout_ms) return {Code::kInternal, "malformed grpc-timeout: \"" + head.timeout + "\""};
    context.deadline_ms = session.thread().now_ms() + *timeout_ms;
  }
  return {};
}

Status unknown_method(const ServerCore& core, const std::string& path) {
  const size_t slash = path.rfind('/');
  if (!path.starts_with('/') || slash == 0) {
    return {Code::kUnimplemented, "malformed method name: \"" + path + "\""};
  }
  const std::string service = path.substr(1, slash - 1);
  if (!core.has_service(path)) return {Code::kUnimplemented, "unknown service " + service};
  return {Code::kUnimplemented, "unknown method " + path.substr(slash + 1) + " for service " + service};
}

}  // namespace

bool is_grpc(std::string_view content_type) {
  constexpr std::string_view kBase = "application/grpc";
  if (!content_type.starts_with(kBase)) return false;
  return content_type.size() == kBase.size() || content_type[kBase.size()] == '+' || content_type[kBase.size()] == ';';
}

Result<Http2Stream*> open_grpc_call(const std::shared_ptr<ServerCore>& core, Http2Session& session, RequestHead& head) {
  if (head.method != "POST") {
    return Status(Code::kInternal, "gRPC requests are POST, not " + head.method);
  }
  const Method* const method = core->find_method(head.path);
  if (method == nullptr) return unknown_method(*core, head.path);
  const bool gzip_in = head.encoding == "gzip";
  if (!gzip_in && !head.encoding.empty() && head.encoding != "identity") {
    return Status(Code::kUnimplemented,
                  "grpc: Decompressor is not installed for grpc-encoding \"" + head.encoding + "\"");
  }
  // As etcd's server does: who compresses is answered in kind.
  const bool gzip_out =
      gzip_in && (head.accept_encoding.empty() || head.accept_encoding.find("gzip") != std::string::npos);
  const GrpcCall::Origin origin{.thread = session.thread(),
                                .method = *method,
                                .max_request_bytes = core->options.max_request_bytes,
                                .max_response_bytes = core->options.max_response_bytes,
                                .gzip_in = gzip_in,
                                .gzip_out = gzip_out};
  if (method->row->kind == Kind::kUnary) {
    auto call = std::allocate_shared<GrpcUnaryCall>(PoolAllocator<GrpcUnaryCall>(), origin);
    KV_RETURN_IF_ERROR(fill_context(*call, head, session));
    call->keep(call);
    return call.get();
  }
  auto call = std::make_shared<GrpcStreamCall>(origin);
  KV_RETURN_IF_ERROR(fill_context(call->context(), head, session));
  call->keep(call);
  return call.get();
}

GrpcCall::GrpcCall(const Origin& origin)
    : thread_(origin.thread.shared_from_this()),
      method_(origin.method),
      reader_(origin.max_request_bytes),
      max_request_bytes_(origin.max_request_bytes),
      max_response_bytes_(origin.max_response_bytes),
      gzip_in_(origin.gzip_in),
      gzip_out_(origin.gzip_out) {}

Result<MessagePtr> GrpcCall::parse(const FrameReader::Frame& frame) const {
  MessagePtr message(method_.row->request_prototype->New());
  std::string inflated;
  std::string_view bytes = frame.payload;
  if (frame.compressed) {
    if (!gzip_in_) {
      return Status(Code::kInternal, "grpc: compressed flag set with identity or empty encoding");
    }
    Result<std::string> result = gunzip(bytes, max_request_bytes_);
    if (!result.ok()) return result.status();
    inflated = *std::move(result);
    bytes = inflated;
  }
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Status(Code::kInternal,
                  "grpc: error unmarshalling request: the bytes are no " + message->GetDescriptor()->full_name());
  }
  method_.received->add();
  method_.received_bytes->add(bytes.size());
  return message;
}

void GrpcCall::send_headers(const CallContext& context) {
  if (context.response_headers.empty()) {
    static constexpr std::array kPlain{kStatusOk, kContentType};
    static constexpr std::array kGzip{kStatusOk, kContentType, kEncodingGzip};
    if (gzip_out_) return session()->respond(*this, kGzip);
    return session()->respond(*this, kPlain);
  }
  Fields fields;
  fields.add(kStatusOk);
  fields.add(kContentType);
  if (gzip_out_) fields.add(kEncodingGzip);
  fields.add_metadata(context.response_headers);
  session()->respond(*this, fields.get());
}

void GrpcCall::send_trailers_only(const CallContext& context, const Status& status) {
  Fields fields;
  fields.add(kStatusOk);
  fields.add(kContentType);
  add_status(fields, status);
  fields.add_metadata(context.response_headers);
  fields.add_metadata(context.response_trailers);
  session()->respond_without_body(*this, fields.get());
}

void GrpcCall::submit_end(const CallContext& context, const Status& status) {
  if (status.ok() && context.response_trailers.empty()) {
    static constexpr std::array kOk{kGrpcOk};
    return session()->submit_trailers(*this, kOk);
  }
  Fields fields;
  add_status(fields, status);
  fields.add_metadata(context.response_trailers);
  session()->submit_trailers(*this, fields.get());
}

void GrpcCall::arm_deadline(const CallContext& context) {
  if (context.deadline_ms != CallContext::kNoDeadline) thread_->timers().set(*this, context.deadline_ms);
}

void GrpcCall::count_sent(const FrameBytes& frame) const {
  method_.sent->add();
  method_.sent_bytes->add(frame.size() - kFrameHeaderBytes);
}

void GrpcCall::count(Code code) {
  if (std::exchange(counted_, true)) return;
  method_.handled[static_cast<size_t>(code)]->add();
  timer_.end(method_);
}

}  // namespace kv::api
