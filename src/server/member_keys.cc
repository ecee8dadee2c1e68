// Calls of the key space: reads, writes, compaction.
#include <algorithm>

#include "base/log.h"
#include "server/local_member.h"
#include "server/range_stream.h"

namespace kv::server {

void LocalMember::range(CallPtr call, std::unique_ptr<RangeRequest> request, Done<RangeResponse> done) {
  if (Status bad = store::check(*request); !bad.ok()) return done(std::move(bad), {});
  if (Status refused = require_leader(*call); !refused.ok()) return done(std::move(refused), {});
  if (Status refused = check_readable(); !refused.ok()) return done(std::move(refused), {});
  if (request->serializable()) return serve_range(*call, *request, done);
  CallContext& context = *call;
  read_then_post(context, [this, call = std::move(call), request = std::move(request),
                           done = std::move(done)](const Status& status) mutable {
    if (!status.ok()) return done(status, {});
    serve_range(*call, *request, done);
  });
}

void LocalMember::range_stream(CallPtr call, std::unique_ptr<RangeRequest> request,
                               std::shared_ptr<Sink<RangeStreamResponse>> sink) {
  if (Status bad = store::check_stream(*request); !bad.ok()) return sink->finish(std::move(bad));
  if (Status refused = require_leader(*call); !refused.ok()) return sink->finish(std::move(refused));
  if (Status refused = check_readable(); !refused.ok()) return sink->finish(std::move(refused));
  CallContext& context = *call;
  const bool serializable = request->serializable();
  auto serve = [this, call = std::move(call), request = std::move(request),
                sink = std::move(sink)](const Status& ready) mutable {
    if (!ready.ok()) return sink->finish(ready);
    std::unique_ptr<store::RangeCursor> cursor;
    Status opened = read_permitted(
        *call, [&](const store::Rights& rights) { return rights.permit(*request); },
        [&] {
          auto made = store_->open_range(*request);
          if (made.ok()) cursor = *std::move(made);
          return made.status();
        });
    if (!opened.ok()) return sink->finish(std::move(opened));
    run_range_stream(
        std::move(call), std::move(cursor),
        {.piece_bytes = options_.max_request_bytes, .fill = [this](ResponseHeader* header) { fill(header); }},
        std::move(sink));
  };
  if (serializable) return serve(Status());
  read_then_post(context, std::move(serve));
}

void LocalMember::put(CallPtr call, std::unique_ptr<PutRequest> request, Done<PutResponse> done) {
  if (Status bad = store::check(*request); !bad.ok()) return done(std::move(bad), {});
  propose(*call, &kvdpb::Command::set_allocated_put, std::move(request), std::move(done));
}

void LocalMember::delete_range(CallPtr call, std::unique_ptr<DeleteRangeRequest> request,
                               Done<DeleteRangeResponse> done) {
  if (Status bad = store::check(*request); !bad.ok()) return done(std::move(bad), {});
  propose(*call, &kvdpb::Command::set_allocated_delete_range, std::move(request), std::move(done));
}

void LocalMember::txn(CallPtr call, std::unique_ptr<TxnRequest> request, Done<TxnResponse> done) {
  if (Status bad = store::check(*request, options_.max_txn_ops); !bad.ok()) return done(std::move(bad), {});
  if (store::is_read_only(*request)) return read_txn(std::move(call), std::move(request), std::move(done));
  propose(*call, &kvdpb::Command::set_allocated_txn, std::move(request), std::move(done));
}

void LocalMember::compact(CallPtr call, std::unique_ptr<CompactionRequest> request, Done<CompactionResponse> done) {
  const bool physical = request->physical();
  const int64_t revision = request->revision();
  kvdpb::Command command;
  command.set_allocated_compact(request.release());
  if (!physical) return propose(*call, command, std::move(done));
  propose<CompactionResponse>(
      *call, command, [this, revision, done = std::move(done)](Status status, CompactionResponse&& response) mutable {
        if (!status.ok()) return done(std::move(status), std::move(response));
        auto shared = std::make_shared<std::pair<Done<CompactionResponse>, CompactionResponse>>(std::move(done),
                                                                                                std::move(response));
        store_->wait_compacted(
            revision, [shared](Status compacted) { shared->first(std::move(compacted), std::move(shared->second)); });
      });
}

void LocalMember::serve_range(const CallContext& call, const RangeRequest& request, Done<RangeResponse>& done) {
  const int64_t began_ms = slow_calls_.now_ms();
  RangeResponse response;
  Status status = read_permitted(
      call, [&](const store::Rights& rights) { return rights.permit(request); },
      [&] { return store_->range(request, &response); });
  if (!status.ok()) return done(std::move(status), {});
  slow_calls_.read(began_ms, request, response);
  fill(response.mutable_header());
  done(Status(), std::move(response));
}

void LocalMember::read_txn(CallPtr call, std::unique_ptr<TxnRequest> request, Done<TxnResponse> done) {
  if (Status refused = require_leader(*call); !refused.ok()) return done(std::move(refused), {});
  if (Status refused = check_readable(); !refused.ok()) return done(std::move(refused), {});
  const auto serializable = [](const auto& ops) {
    return std::all_of(ops.begin(), ops.end(), [](const RequestOp& op) { return op.request_range().serializable(); });
  };
  // etcd also answers a transaction without any operation from the member's own state, where a compare can be
  // stale without anybody having asked for that; here it must have been asked for.
  const bool asked = request->success_size() + request->failure_size() > 0;
  const bool local = asked && serializable(request->success()) && serializable(request->failure());
  CallContext& context = *call;
  auto serve = [this, call = std::move(call), request = std::move(request),
                done = std::move(done)](const Status& ready) mutable {
    if (!ready.ok()) return done(ready, {});
    const int64_t began_ms = slow_calls_.now_ms();
    TxnResponse response;
    Status status = read_permitted(
        *call, [&](const store::Rights& rights) { return rights.permit(*request); },
        [&] { return store_->txn(*request, &response); });
    if (!status.ok()) return done(std::move(status), {});
    slow_calls_.read(began_ms, *request, response);
    fill(response.mutable_header());
    done(Status(), std::move(response));
  };
  if (local) return serve(Status());
  read_then_post(context, std::move(serve));
}

void LocalMember::compact_when_due() {
  if (const CompactionEnd end = compaction_end_.exchange(CompactionEnd::kNone); end != CompactionEnd::kNone)
    auto_compaction_.ended(now_ms(), end == CompactionEnd::kDone);
  const bool leading = engine_->soft_state().role == raft::Role::kLeader;
  const int64_t revision = auto_compaction_.poll(now_ms(), store_->revision().value(), leading);
  if (revision == 0) return;
  auto request = std::make_unique<CompactionRequest>();
  request->set_revision(revision);
  compact(OwnCall::of_member(), std::move(request), [this, revision](Status status, CompactionResponse&&) {
    // What somebody else has compacted further is done as well.
    const bool done = status.ok() || status.code() == Code::kOutOfRange;
    if (done) {
      log_info("history compacted by itself", {{"revision", revision}});
    } else {
      log_warning("history could not be compacted; it is tried again",
                  {{"revision", revision}, {"error", status.text()}});
    }
    compaction_end_ = done ? CompactionEnd::kDone : CompactionEnd::kFailed;
  });
}

}  // namespace kv::server
