// Answers etcd's Range from a view.
#pragma once

#include "base/status.h"
#include "etcdserverpb/rpc.pb.h"
#include "store/view.h"

namespace kv::store {

// `current` is the view's present revision, `compact_revision` the oldest that may be asked for.
Status answer_range(View& view, int64_t current, int64_t compact_revision, const etcdserverpb::RangeRequest& request,
                    etcdserverpb::RangeResponse* response);

// `with_value`: else without value and lease, as etcd 3.7 answers keys_only.
void fill_key_value(std::string_view key, const Record& record, bool with_value, mvccpb::KeyValue* out);

}  // namespace kv::store
