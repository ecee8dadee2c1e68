#include "store/range.h"

#include <algorithm>

#include "store/errors.h"

namespace kv::store {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using mvccpb::KeyValue;

bool is_key_order(const RangeRequest& r) {
  return r.sort_order() == RangeRequest::NONE ||
         (r.sort_target() == RangeRequest::KEY && r.sort_order() == RangeRequest::ASCEND);
}

bool is_reverse_key_order(const RangeRequest& r) {
  return r.sort_target() == RangeRequest::KEY && r.sort_order() == RangeRequest::DESCEND;
}

bool has_revision_filters(const RangeRequest& r) {
  return r.min_mod_revision() != 0 || r.max_mod_revision() != 0 || r.min_create_revision() != 0 ||
         r.max_create_revision() != 0;
}

bool passes_filters(const RangeRequest& r, const Record& record) {
  const int64_t mod = record.mod.main, create = record.create_revision;
  return !(r.max_mod_revision() != 0 && mod > r.max_mod_revision()) &&
         !(r.min_mod_revision() != 0 && mod < r.min_mod_revision()) &&
         !(r.max_create_revision() != 0 && create > r.max_create_revision()) &&
         !(r.min_create_revision() != 0 && create < r.min_create_revision());
}

bool less(RangeRequest::SortTarget target, const KeyValue& a, const KeyValue& b) {
  switch (target) {
    case RangeRequest::VERSION: return a.version() < b.version();
    case RangeRequest::CREATE: return a.create_revision() < b.create_revision();
    case RangeRequest::MOD: return a.mod_revision() < b.mod_revision();
    case RangeRequest::VALUE: return a.value() < b.value();
    default: return a.key() < b.key();
  }
}

// Equal ones stay in the order of keys.
void sort_by_target(const RangeRequest& r, RangeResponse* response) {
  const bool descend = r.sort_order() == RangeRequest::DESCEND;
  auto* kvs = response->mutable_kvs();
  std::stable_sort(kvs->pointer_begin(), kvs->pointer_end(), [&](const KeyValue* a, const KeyValue* b) {
    return descend ? less(r.sort_target(), *b, *a) : less(r.sort_target(), *a, *b);
  });
}

Status answer_single(View& view, int64_t at, const RangeRequest& request, bool with_value, RangeResponse* response) {
  Record record;
  const Result<bool> found = view.get(request.key(), at, &record);
  if (!found.ok()) return found.status();
  if (!*found) return {};
  response->set_count(1);
  if (!request.count_only() && passes_filters(request, record)) {
    fill_key_value(request.key(), record, with_value, response->add_kvs());
  }
  return {};
}

}  // namespace

void fill_key_value(std::string_view key, const Record& record, bool with_value, KeyValue* out) {
  out->set_key(key.data(), key.size());
  out->set_create_revision(record.create_revision);
  out->set_mod_revision(record.mod.main);
  out->set_version(record.version);
  if (with_value) {
    out->set_value(record.value.data(), record.value.size());
    out->set_lease(record.lease);
  }
}

Status answer_range(View& view, int64_t current, int64_t compact_revision, const RangeRequest& request,
                    RangeResponse* response) {
  response->Clear();
  int64_t at = request.revision();
  if (at > current) return future_revision_error();
  if (at <= 0) at = current;
  if (at < compact_revision) return compacted_error();
  response->mutable_header()->set_revision(current);

  const KeyRange range = KeyRange::of(request.key(), request.range_end());
  // etcd 3.7 answers keys_only from its index, which knows no lease, unless it needs the values to sort by.
  const bool fast_keys_only = request.keys_only() && request.sort_target() != RangeRequest::VALUE;
  if (range.single) {
    KV_RETURN_IF_ERROR(answer_single(view, at, request, !fast_keys_only, response));
    if (request.keys_only() && !fast_keys_only && response->kvs_size() > 0) response->mutable_kvs(0)->clear_value();
    return {};
  }
  if (request.count_only()) {
    const Result<int64_t> count = view.count(range, at);
    if (!count.ok()) return count.status();
    response->set_count(*count);
    return {};
  }

  // The limit cuts the sorted list, so it may cut the scan only where the scan runs in that order. Where it does, one
  // more is fetched than wanted, to know whether there are more. A target with no order is etcd's oddity: it cuts
  // in the order of keys, then sorts.
  const bool reverse = is_reverse_key_order(request);
  const bool cut_scan = reverse || (request.sort_target() == RangeRequest::KEY
                                        ? is_key_order(request)
                                        : request.sort_order() == RangeRequest::NONE && !has_revision_filters(request));
  const int64_t limit = request.limit() > 0 ? request.limit() : INT64_MAX;
  int64_t seen = 0;
  bool exhausted = true;
  KV_RETURN_IF_ERROR(view.scan(range, at, reverse, [&](std::string_view key, const Record& record) {
    ++seen;
    if (!passes_filters(request, record)) return true;
    fill_key_value(key, record, !fast_keys_only, response->add_kvs());
    if (cut_scan && response->kvs_size() > limit) {
      exhausted = false;
      return false;
    }
    return true;
  }));

  if (request.sort_target() != RangeRequest::KEY) sort_by_target(request, response);
  if (response->kvs_size() > limit) {
    response->set_more(true);
    auto* kvs = response->mutable_kvs();
    kvs->DeleteSubrange(static_cast<int>(limit), kvs->size() - static_cast<int>(limit));
  }
  if (request.keys_only() && !fast_keys_only) {
    for (KeyValue& kv : *response->mutable_kvs()) kv.clear_value();
  }
  if (exhausted) {
    response->set_count(seen);
    return {};
  }
  const Result<int64_t> count = view.count(range, at);
  if (!count.ok()) return count.status();
  response->set_count(*count);
  return {};
}

}  // namespace kv::store
