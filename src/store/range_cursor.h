// A Range in pieces, all of them from one view.
#pragma once

#include <memory>

#include "store/store.h"
#include "store/view.h"

namespace kv::store {

// `request` has passed check_stream(). The view has a snapshot.
Result<std::unique_ptr<RangeCursor>> make_range_cursor(std::unique_ptr<CommittedView> view,
                                                       const etcdserverpb::RangeRequest& request);

}  // namespace kv::store
