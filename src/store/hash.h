// HashKV: one number over everything that a reader could see.
#pragma once

#include "base/status.h"
#include "store/store.h"
#include "store/view.h"

namespace kv::store {

// `view` has a snapshot. The hash is a sum over records, so it depends neither on the order of the scan, nor on how
// changes were batched, nor on how far the background compaction is.
Result<HashResult> hash_key_space(const Database& database, CommittedView& view, int64_t revision,
                                  const HashPace& pace);

}  // namespace kv::store
