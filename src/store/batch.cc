#include "store/batch.h"

#include <algorithm>

#include "store/errors.h"
#include "store/range.h"

namespace kv::store {

// ---- BatchChanges ----

void BatchChanges::add(std::string_view key, const Record& record) {
  if (records_.empty() || records_.back().bytes().size() >= kRecordBytes || records_.back().count() >= kRecordChanges) {
    records_.emplace_back();
  }
  const auto number = static_cast<uint32_t>(changes_.size());
  Place p;
  p.record = static_cast<uint32_t>(records_.size() - 1);
  p.place = records_.back().add(key, record);
  p.key_size = static_cast<uint32_t>(key.size());
  std::string_view rest = std::string_view(records_.back().bytes()).substr(p.place.offset);
  uint64_t key_size;
  KV_CHECK(get_varint(&rest, &key_size), "just written");
  p.key_offset = static_cast<uint32_t>(records_.back().bytes().size() - rest.size());
  p.replaces = -1;
  changes_.push_back(p);

  const auto [it, added] = newest_.insert(Newest{number});
  if (!added) {
    changes_.back().replaces = it->change;
    it->change = number;
  }
  if (is_ordered_) ordered_.insert(Newest{number}).first->change = number;
}

void BatchChanges::truncate(size_t count) {
  while (changes_.size() > count) {
    const auto number = static_cast<uint32_t>(changes_.size() - 1);
    const Place p = changes_.back();
    const auto it = newest_.find(Newest{number});
    if (p.replaces >= 0) {
      it->change = static_cast<uint32_t>(p.replaces);
      if (is_ordered_) ordered_.find(Newest{number})->change = static_cast<uint32_t>(p.replaces);
    } else {
      newest_.erase(it);
      if (is_ordered_) ordered_.erase(Newest{number});
    }
    changes_.pop_back();
    HistoryBuilder& record = records_[p.record];
    record.truncate(record.count() - 1, p.place.offset);
    if (record.count() == 0) records_.pop_back();
  }
}

Change BatchChanges::at(size_t i) const {
  const Place& p = changes_[i];
  Change change;
  const std::string_view bytes = records_[p.record].bytes();
  KV_CHECK(decode_change(bytes.substr(p.place.offset, p.place.size), &change), "written by this batch");
  return change;
}

std::optional<Change> BatchChanges::find(std::string_view key) const {
  const auto it = newest_.find(key);
  if (it == newest_.end()) return std::nullopt;
  return at(it->change);
}

std::optional<Change> BatchChanges::find(Rev rev) const {
  size_t low = 0, high = changes_.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (at(middle).record.mod < rev) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == changes_.size()) return std::nullopt;
  const Change change = at(low);
  if (change.record.mod != rev) return std::nullopt;
  return change;
}

void BatchChanges::sort_keys() {
  if (is_ordered_) return;
  ordered_.insert(newest_.begin(), newest_.end());
  is_ordered_ = true;
}

BatchChanges::KeyIterator BatchChanges::keys_from(std::string_view begin) {
  sort_keys();
  KeyIterator it;
  it.changes_ = this;
  it.at_ = ordered_.lower_bound(begin);
  it.begin_ = ordered_.begin();
  it.end_ = ordered_.end();
  return it;
}

BatchChanges::KeyIterator BatchChanges::keys_before(const std::string_view* end) {
  sort_keys();
  KeyIterator it;
  it.changes_ = this;
  it.at_ = end != nullptr ? ordered_.lower_bound(*end) : ordered_.end();
  it.begin_ = ordered_.begin();
  it.end_ = ordered_.end();
  it.forward_ = false;
  return it;
}

std::vector<uint32_t> BatchChanges::newest_by_key() const {
  std::vector<uint32_t> numbers;
  numbers.reserve(newest_.size());
  for (const Newest& n : newest_) numbers.push_back(n.change);
  std::sort(numbers.begin(), numbers.end(), [this](uint32_t a, uint32_t b) { return key_of(a) < key_of(b); });
  return numbers;
}

// ---- Batch: reading ----

Batch::Batch(ApplyContext& context, Listener& listener)
    : context_(context),
      listener_(listener),
      leases_(*context.leases),
      auth_(*context.auth),
      nodes_(*context.database, nullptr),
      revision_(context.revision),
      compact_revision_(context.compact_revision) {}

bool Batch::lease_exists(int64_t lease) const { return leases_.find(lease).has_value(); }

Result<bool> Batch::newest(std::string_view key, bool with_value, Record* record) {
  if (const std::optional<Change> change = changes_.find(key)) {
    *record = change->record;
    return true;
  }
  if (!with_value) {
    if (const Record* cached = context_.cache->find(key)) {
      *record = *cached;
      return true;
    }
  }
  value_.Reset();
  Database& database = *context_.database;
  const rocksdb::Status s = database->Get(rocksdb::ReadOptions(), database.head(), slice(key), &value_);
  if (s.IsNotFound()) return false;
  if (!s.ok()) return from_rocksdb(s, "state: reading head");
  if (!decode_record(kv::store::view(value_), record)) return damaged_head(key);
  return true;
}

Result<bool> Batch::settle_in_batch(std::string_view key, Record* record, int64_t at) {
  if (record->mod.main <= at) return !record->tombstone;
  if (!history_) {
    history_.emplace(*context_.database, *context_.recent, nullptr,
                     context_.compacted->load(std::memory_order_acquire));
  }
  return settle(key, record, at, compact_revision_, *history_, [this](Rev rev, Change* change) -> Result<bool> {
    if (rev.main <= context_.revision) return history_->find(rev, change);
    const std::optional<Change> found = changes_.find(rev);
    if (found) *change = *found;
    return found.has_value();
  });
}

Result<bool> Batch::get(std::string_view key, int64_t at, Record* record) {
  const Result<bool> found = newest(key, true, record);
  if (!found.ok() || !*found) return found;
  return settle_in_batch(key, record, at);
}

Status Batch::scan(const KeyRange& range, int64_t at, bool reverse, Visitor visit) {
  HeadIterator head(*context_.database, nullptr);
  head.seek(range, reverse);
  BatchChanges::KeyIterator batch =
      reverse ? changes_.keys_before(range.unbounded ? nullptr : &range.end) : changes_.keys_from(range.begin);
  for (;;) {
    const bool in_batch = batch.valid() && range.contains(batch.key());
    if (!head.valid() && !in_batch) break;
    bool take_batch = in_batch;
    if (in_batch && head.valid()) {
      const int order = batch.key().compare(head.key());
      take_batch = reverse ? order >= 0 : order <= 0;
      if (order == 0) head.next();  // the batch's is younger
    }
    Record record;
    std::string_view key;
    if (take_batch) {
      key = batch.key();
      record = batch.change().record;
    } else {
      key = head.key();
      KV_RETURN_IF_ERROR(head.record(&record));
    }
    const Result<bool> there = settle_in_batch(key, &record, at);
    if (!there.ok()) return there.status();
    if (*there && !visit(key, record)) return {};
    take_batch ? batch.next() : head.next();
  }
  return head.status();
}

Result<int64_t> Batch::count(const KeyRange& range, int64_t at) {
  const auto walk = [&](const KeyRange& part) -> Result<int64_t> {
    int64_t n = 0;
    KV_RETURN_IF_ERROR(scan(part, at, false, [&n](std::string_view, const Record&) {
      ++n;
      return true;
    }));
    return n;
  };
  // The counts are of the committed state; what this batch has changed is added, or what was changed since `at`
  // taken away.
  const BlockCounts::Inner inner = context_.counts->inner(range);
  if (!inner.any || inner.revision - at > inner.keys) return walk(range);
  int64_t keys = inner.keys;
  for (size_t i = 0; i < changes_.size(); ++i) {
    const Change change = changes_.at(i);
    if (change.record.mod.main > at) break;
    if (inner.contains(change.key)) keys += count_delta(change.record);
  }
  KV_RETURN_IF_ERROR(scan_history(*context_.database, context_.recent, nullptr, at, inner.revision,
                                  [&](const Change& change, std::string_view) {
                                    if (inner.contains(change.key)) keys -= count_delta(change.record);
                                    return true;
                                  }));
  for (const KeyRange& edge : edges(range, inner)) {
    const Result<int64_t> n = walk(edge);
    if (!n.ok()) return n;
    keys += *n;
  }
  return keys;
}

// ---- Batch: changing ----

void Batch::change(std::string_view key, Record record, const Record* before) {
  record.mod = {revision_ + 1, next_sub_++};
  // A tombstone at or below the compact revision may be gone on one member and not yet on another: it is as if it
  // had never been.
  if (before != nullptr && !(before->tombstone && before->mod.main <= compact_revision_)) record.prev = before->mod;
  // Most keys have no lease, before and after: that costs nothing.
  const int64_t lease_before = before != nullptr && !before->tombstone ? before->lease : 0;
  if (record.lease != lease_before) leases_.moved(key, lease_before, record.lease);
  if (!record.tombstone) {
    const bool exists = before != nullptr && !before->tombstone;
    record.create_revision = exists ? before->create_revision : record.mod.main;
    record.version = exists ? before->version + 1 : 1;
  }
  if (!record.prev.none() && has_waypoint(record.mod)) waypoints_.push_back(static_cast<uint32_t>(changes_.size()));
  changes_.add(key, record);
}

Status Batch::finish(Status status) {
  if (status.ok()) {
    counted_.add(counts_);
    if (next_sub_ > 0 || nodes_changed_) ++revision_;
  } else {
    changes_.truncate(changes_before_);
    while (!waypoints_.empty() && waypoints_.back() >= changes_before_) waypoints_.pop_back();
    // Not an answer that every member gives: this one would go its own way from here.
    if (status.code() == Code::kInternal || status.code() == Code::kDataLoss) failure_ = status;
  }
  counts_ = {};
  next_sub_ = 0;
  nodes_changed_ = false;
  changes_before_ = changes_.size();
  return status;
}

Status Batch::txn_put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response) {
  Record before;
  const Result<bool> found = newest(request.key(), request.prev_kv() || request.ignore_value(), &before);
  if (!found.ok()) return found.status();
  const bool exists = *found && !before.tombstone;
  if ((request.ignore_value() || request.ignore_lease()) && !exists) return key_not_found_error();
  if (request.prev_kv() && exists) fill_key_value(request.key(), before, true, response->mutable_prev_kv());

  Record record;
  std::string kept;
  if (request.ignore_value()) {
    kept = before.value;  // may stand in the record that is about to grow
    record.value = kept;
  } else {
    record.value = request.value();
  }
  record.lease = request.ignore_lease() ? before.lease : request.lease();
  change(request.key(), record, *found ? &before : nullptr);
  ++counts_.puts;
  counts_.put_bytes += request.key().size() + record.value.size();
  response->mutable_header()->set_revision(current_revision());
  return {};
}

Status Batch::txn_delete_range(const etcdserverpb::DeleteRangeRequest& request,
                               etcdserverpb::DeleteRangeResponse* response) {
  ++counts_.deletes;
  const KeyRange range = KeyRange::of(request.key(), request.range_end());
  const auto take = [&](std::string_view key, const Record& record) {
    if (request.prev_kv()) fill_key_value(key, record, true, response->add_prev_kvs());
  };
  Record tombstone;
  tombstone.tombstone = true;
  int64_t deleted = 0;
  if (range.single) {
    Record before;
    const Result<bool> found = newest(request.key(), request.prev_kv(), &before);
    if (!found.ok()) return found.status();
    if (*found && !before.tombstone) {
      take(request.key(), before);
      change(request.key(), tombstone, &before);
      deleted = 1;
    }
  } else {
    // Changing would pull the ground from under the scan.
    std::vector<std::pair<std::string, Record>> found;
    KV_RETURN_IF_ERROR(scan(range, current_revision(), false, [&](std::string_view key, const Record& record) {
      take(key, record);
      found.emplace_back(key, record);
      found.back().second.value = {};
      return true;
    }));
    for (const auto& [key, before] : found) change(key, tombstone, &before);
    deleted = static_cast<int64_t>(found.size());
  }
  response->set_deleted(deleted);
  response->mutable_header()->set_revision(current_revision());
  return {};
}

Status Batch::put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response) {
  response->Clear();
  if (request.lease() != 0 && !lease_exists(request.lease())) return lease_not_found_error();
  return finish(txn_put(request, response));
}

Status Batch::delete_range(const etcdserverpb::DeleteRangeRequest& request,
                           etcdserverpb::DeleteRangeResponse* response) {
  response->Clear();
  return finish(txn_delete_range(request, response));
}

Status Batch::txn(const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response) {
  return finish(run_txn(*this, request, response));
}

Status Batch::compact(const etcdserverpb::CompactionRequest& request, etcdserverpb::CompactionResponse* response) {
  response->Clear();
  if (request.revision() <= compact_revision_) return compacted_error();
  if (request.revision() > revision_) return future_revision_error();
  compact_revision_ = request.revision();
  response->mutable_header()->set_revision(revision_);
  return {};
}

Status Batch::lease_grant(const etcdserverpb::LeaseGrantRequest& request, etcdserverpb::LeaseGrantResponse* response) {
  response->Clear();
  if (request.id() == 0) return lease_not_found_error();
  KV_RETURN_IF_ERROR(check(request));
  if (lease_exists(request.id())) return lease_exists_error();
  // A proposer grants at least a second; a command that says less must not make members differ.
  const int64_t ttl = std::max<int64_t>(request.ttl(), 1);
  leases_.put({request.id(), ttl, 0, leases_.count_grant()});
  response->set_id(request.id());
  response->set_ttl(ttl);
  response->mutable_header()->set_revision(revision_);
  return {};
}

Status Batch::for_keys_of(int64_t lease, absl::FunctionRef<void(const std::string&, const Record&)> visit) {
  const Result<std::vector<std::string>> keys = leases_.candidates(*context_.database, lease);
  if (!keys.ok()) return keys.status();
  for (const std::string& key : *keys) {
    Record record;
    const Result<bool> found = newest(key, false, &record);
    if (!found.ok()) return found.status();
    if (*found && !record.tombstone && record.lease == lease) visit(key, record);
  }
  return {};
}

Status Batch::delete_keys_of(int64_t lease) {
  Record tombstone;
  tombstone.tombstone = true;
  return for_keys_of(lease, [&](const std::string& key, const Record& before) { change(key, tombstone, &before); });
}

Result<std::vector<std::string>> Batch::lease_keys(int64_t id) {
  std::vector<std::string> keys;
  Status status = for_keys_of(id, [&keys](const std::string& key, const Record&) { keys.push_back(key); });
  if (!status.ok()) {
    failure_ = status;  // this member would decide otherwise than the others
    return status;
  }
  return keys;
}

Status Batch::lease_revoke(const etcdserverpb::LeaseRevokeRequest& request,
                           etcdserverpb::LeaseRevokeResponse* response) {
  response->Clear();
  if (!lease_exists(request.id())) return lease_not_found_error();
  const auto node = nodes_.node_of(request.id());
  if (!node.ok()) return node.status();
  Status deleted = delete_keys_of(request.id());
  if (deleted.ok() && *node) deleted = delete_node_of(request.id(), (*node)->path());
  const int64_t before = revision_;
  KV_RETURN_IF_ERROR(finish(std::move(deleted)));
  if (revision_ != before) {
    NodeAction expire{.action = "expire"};
    if (*node) {
      expire.path = (*node)->path();
      expire.prev_expires_at_ms = (*node)->expires_at_ms();
    }
    context_.node_actions->add(revision_, std::move(expire));
    context_.node_counts->add_expired();
  }
  leases_.remove(request.id());
  response->mutable_header()->set_revision(revision_);
  return {};
}

Status Batch::lease_checkpoint(const etcdserverpb::LeaseCheckpointRequest& request,
                               etcdserverpb::LeaseCheckpointResponse* response) {
  response->Clear();
  for (const etcdserverpb::LeaseCheckpoint& checkpoint : request.checkpoints()) {
    std::optional<Lease> lease = leases_.find(checkpoint.id());
    if (!lease) continue;
    lease->remaining_s = std::clamp<int64_t>(checkpoint.remaining_ttl(), 0, lease->ttl_s);
    leases_.put(*lease);
  }
  response->mutable_header()->set_revision(revision_);
  return {};
}

void Batch::put_record(std::string_view name, std::string_view value) {
  writes_.Put(context_.database->meta(), slice(std::string(kMetaRecordPrefix).append(name)), slice(value));
}

void Batch::delete_record(std::string_view name) {
  writes_.Delete(context_.database->meta(), slice(std::string(kMetaRecordPrefix).append(name)));
}

Status Batch::commit(uint64_t applied_index, uint64_t applied_term) {
  KV_CHECK(!spent_, "a batch is committed once");
  spent_ = true;
  KV_RETURN_IF_ERROR(failure_);
  Database& database = *context_.database;
  // Ascending, so that each insert into the memtable finds its way from the last one's.
  const std::vector<uint32_t> newest_changes = changes_.newest_by_key();
  for (const uint32_t i : newest_changes) {
    const Change change = changes_.at(i);
    writes_.Put(database.head(), slice(change.key), slice(change.encoded));
  }
  for (const uint32_t i : waypoints_) {
    const Change change = changes_.at(i);
    writes_.Put(database.waypoints(), waypoint_key(change.key, change.record.mod), rocksdb::Slice());
  }
  leases_.write(database, &writes_, [this](std::string_view key) -> std::optional<int64_t> {
    const std::optional<Change> change = changes_.find(key);
    if (!change) return std::nullopt;
    return change->record.lease;
  });
  std::vector<Rev> last_revs;
  size_t end = 0;
  for (HistoryBuilder& record : changes_.records()) {
    end += record.count();
    last_revs.push_back(changes_.at(end - 1).record.mod);
  }
  // From here on `changes_` must not be asked by revision: finishing a record appends to its bytes, no more.
  for (HistoryBuilder& record : changes_.records()) {
    writes_.Put(database.history(), history_key(record.first()), record.finish());
  }
  const Applied applied{applied_index, applied_term, revision_};
  writes_.Put(database.meta(), slice(kMetaApplied), encode_applied(applied));
  if (compact_revision_ != context_.compact_revision) {
    writes_.Put(database.meta(), slice(kMetaCompact), encode_int64(compact_revision_));
  }
  for (const auto* records : {&auth_.records(), &nodes_.changed()}) {
    for (const auto& [name, value] : *records) {
      if (value) {
        put_record(name, *value);
      } else {
        delete_record(name);
      }
    }
  }
  // Rights go before data: whoever sees what this batch has written, and then asks who may see it, is told so by rights
  // at least as new. Should the write fail, the member ends.
  if (auth_.changed()) {
    auth_.publish();
    listener_.rights_changed();
  }
  KV_RETURN_IF_ERROR(listener_.write(&writes_, changes_));
  counted_.publish();

  leases_.publish();
  for (const uint32_t i : newest_changes) {
    const Change change = changes_.at(i);
    context_.cache->set(change.key, change.record);
  }
  // The ring before the counts, and these before the revision: who sees one finds the others at least as young.
  bool counts_have_work;
  {
    std::vector<std::pair<std::string_view, int>> deltas;
    for (size_t i = 0; i < changes_.size(); ++i) {
      const Change change = changes_.at(i);
      if (const int delta = count_delta(change.record)) deltas.emplace_back(change.key, delta);
    }
    for (size_t i = 0; i < changes_.records().size(); ++i) {
      context_.recent->add({changes_.records()[i].first(), last_revs[i], changes_.records()[i].share_bytes()});
    }
    BlockCounts::Update update(*context_.counts);
    for (const auto& [key, delta] : deltas) update.add(key, delta);
    counts_have_work = update.finish(revision_);
  }
  context_.revision = revision_;
  context_.compact_revision = compact_revision_;
  listener_.committed(applied, compact_revision_, changes_.size(), counts_have_work);
  return {};
}

}  // namespace kv::store
