// A unary call of the gateway: the whole body, one answer.
#include <string>
#include <utility>

#include "api/json/http_call.h"
#include "api/json/json_reader.h"
#include "api/json/json_writer.h"
#include "base/check.h"

namespace kv::api {
namespace {

class UnaryCall final : public CallContext, public std::enable_shared_from_this<UnaryCall> {
 public:
  explicit UnaryCall(const HttpCall& call) : call_(call) {}

  void post(absl::AnyInvocable<void()> work) override { call_.exchange->post(std::move(work)); }

  void open() {
    HttpExchange& exchange = *call_.exchange;
    call_.method.started->add();
    int64_t timeout_ms = -1;
    if (const Status bad = fill_context(*this, exchange.request(), &timeout_ms); !bad.ok()) return answer(bad);
    const auto self = shared_from_this();
    exchange.on_body = [self](std::string_view piece) { self->on_body(piece); };
    exchange.on_body_end = [self] { self->on_end(); };
    exchange.on_cancel = [self] {
      self->cancel();
      self->count(Code::kCanceled);
    };
    if (timeout_ms < 0) return;
    exchange.call_after(timeout_ms, [self] {
      self->cancel();
      self->answer({Code::kDeadlineExceeded, "context deadline exceeded"});
    });
  }

 private:
  // The handler's `done`. One that is dropped without being called answers too, so that no client waits for ever for a
  // handler's mistake.
  class Finisher {
   public:
    explicit Finisher(std::shared_ptr<UnaryCall> call) : call_(std::move(call)) {}
    Finisher(Finisher&&) noexcept = default;
    Finisher& operator=(Finisher&&) noexcept = default;
    ~Finisher() {
      if (call_) call_->answer({Code::kInternal, "the call was dropped without an answer"});
    }
    void operator()(const Status& status, const google::protobuf::Message* response) {
      const auto call = std::move(call_);
      KV_CHECK(call != nullptr, "a unary call is finished once");
      if (!status.ok() || response == nullptr) return call->answer(status);
      call->answer(*response);
    }

   private:
    std::shared_ptr<UnaryCall> call_;
  };

  void on_body(std::string_view piece) {
    body_ += piece;
    const bool held = call_.exchange->hold_body(static_cast<ptrdiff_t>(piece.size()));
    if (held && body_.size() <= call_.max_body_bytes()) return;
    const Status status = body_too_large(call_.max_body_bytes());
    body_ = {};
    count(status.code());
    HttpResponse response = json_error(status);
    response.status = 413;
    call_.exchange->respond(std::move(response));
  }

  void on_end() {
    const Row& row = *call_.method.row;
    MessagePtr request(row.request_prototype->New());
    if (const Status bad = read_first_json(body_, *request); !bad.ok()) return answer(bad);
    body_ = {};
    const size_t bytes = request->ByteSizeLong();
    if (bytes > call_.max_request_bytes) return answer(message_too_large(bytes, call_.max_request_bytes));
    call_.method.received->add();
    const auto self = shared_from_this();
    row.unary(self, std::move(request), Finisher(self));
  }

  // Any thread; the first answer counts.
  void answer(const Status& status) {
    count(status.code());
    call_.exchange->respond(json_error(status));
  }
  void answer(const google::protobuf::Message& response) {
    if (cancelled()) return;  // nobody listens
    HttpResponse out = json_head(*this);
    append_json(response, out.body);
    call_.method.sent->add();
    count(Code::kOk);
    call_.exchange->respond(std::move(out));
  }
  void count(Code code) {
    if (counted_.exchange(true)) return;
    call_.method.handled[static_cast<size_t>(code)]->add();
    timer_.end(call_.method);
  }

  const HttpCall call_;
  std::string body_;
  const CallTimer timer_;
  std::atomic<bool> counted_{false};
};

}  // namespace

void open_unary_call(const HttpCall& call) { std::make_shared<UnaryCall>(call)->open(); }

}  // namespace kv::api
