#include "store/range_cursor.h"

#include <algorithm>
#include <string>
#include <utility>

#include "store/errors.h"
#include "store/range.h"

namespace kv::store {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;

class ViewCursor final : public RangeCursor {
 public:
  ViewCursor(std::unique_ptr<CommittedView> view, const RangeRequest& request, int64_t at)
      : view_(std::move(view)),
        request_(request),
        range_(KeyRange::of(request_.key(), request_.range_end())),
        at_(at),
        left_(request_.limit() > 0 ? request_.limit() : INT64_MAX) {}

  bool done() const override { return done_; }

  Status next(int64_t max_keys, size_t max_bytes, RangeResponse* piece) override {
    KV_CHECK(!done_ && max_keys > 0, "a cursor is read until it is done");
    if (range_.single || request_.count_only()) {
      done_ = true;
      return answer_range(*view_, view_->current(), view_->compact_revision(), request_, piece);
    }
    piece->Clear();
    // As Range does; a target without an order sorts nothing here, since no piece knows the others.
    const bool with_value = !request_.keys_only() || request_.sort_target() == RangeRequest::VALUE;
    KeyRange rest = range_;
    if (!next_key_.empty()) rest.begin = next_key_;
    size_t bytes = 0;
    bool more = false;
    KV_RETURN_IF_ERROR(view_->scan(rest, at_, false, [&](std::string_view key, const Record& record) {
      more = left_ == 0 || piece->kvs_size() >= max_keys || bytes >= max_bytes;
      if (more) return false;
      fill_key_value(key, record, with_value, piece->add_kvs());
      if (request_.keys_only()) piece->mutable_kvs()->rbegin()->clear_value();
      bytes += key.size() + record.value.size();
      --left_;
      return true;
    }));
    given_ += piece->kvs_size();
    if (more && left_ > 0) {
      next_key_ = piece->kvs(piece->kvs_size() - 1).key() + '\0';
      return {};
    }
    done_ = true;
    piece->mutable_header()->set_revision(view_->current());
    piece->set_more(more);
    piece->set_count(given_);
    if (!more) return {};
    const Result<int64_t> count = view_->count(range_, at_);
    if (!count.ok()) return count.status();
    piece->set_count(*count);
    return {};
  }

 private:
  const std::unique_ptr<CommittedView> view_;
  const RangeRequest request_;
  const KeyRange range_;  // of request_'s bytes
  const int64_t at_;
  int64_t left_;          // of the limit
  int64_t given_ = 0;     // keys
  std::string next_key_;  // where the next piece begins; empty: at the beginning
  bool done_ = false;
};

}  // namespace

Result<std::unique_ptr<RangeCursor>> make_range_cursor(std::unique_ptr<CommittedView> view,
                                                       const RangeRequest& request) {
  int64_t at = request.revision();
  if (at > view->current()) return future_revision_error();
  if (at <= 0) at = view->current();
  if (at < view->compact_revision()) return compacted_error();
  return std::unique_ptr<RangeCursor>(std::make_unique<ViewCursor>(std::move(view), request, at));
}

}  // namespace kv::store
