// Calls of /v2/keys, applied: the rules of node_tree.h over a batch.
#include <algorithm>

#include "store/batch.h"
#include "store/errors.h"
#include "store/node_tree.h"

namespace kv::store {

class BatchNodes final : public NodeWriter {
 public:
  explicit BatchNodes(Batch& batch) : batch_(batch) {}

  Result<std::optional<NodeFile>> file(const std::string& path) override {
    Record record;
    const Result<bool> found = batch_.newest(path, true, &record);
    if (!found.ok()) return found.status();
    if (!*found || record.tombstone) return std::optional<NodeFile>();
    return std::optional<NodeFile>(node_file(record));
  }
  Status files(const std::string& begin, const std::string& end, VisitFile visit) override {
    return batch_.scan(KeyRange::of(begin, end), batch_.current_revision(), false,
                       [&visit](std::string_view key, const Record& record) { return visit(key, node_file(record)); });
  }
  Result<std::optional<kvdpb::NodeDirectory>> directory(const std::string& path) override {
    return batch_.nodes_.directory(path);
  }
  Status directories(const std::string& begin, const std::string& end, VisitDirectory visit) override {
    return batch_.nodes_.directories(begin, end, visit);
  }

  int64_t next() const override { return batch_.revision_ + 1; }

  Result<int64_t> put(const std::string& path, const std::string& value, int64_t lease) override {
    Record before;
    const Result<bool> found = batch_.newest(path, false, &before);
    if (!found.ok()) return found.status();
    Record record;
    record.value = value;
    record.lease = lease;
    batch_.change(path, record, *found ? &before : nullptr);
    ++batch_.counts_.puts;
    batch_.counts_.put_bytes += path.size() + value.size();
    return *found && !before.tombstone ? before.create_revision : next();
  }
  Status remove(const std::string& path) override {
    Record before;
    const Result<bool> found = batch_.newest(path, false, &before);
    if (!found.ok()) return found.status();
    if (!*found || before.tombstone) return {};
    Record tombstone;
    tombstone.tombstone = true;
    batch_.change(path, tombstone, &before);
    ++batch_.counts_.deletes;
    return {};
  }
  void put_directory(const std::string& path, const kvdpb::NodeDirectory& directory) override {
    batch_.nodes_.put_directory(path, directory);
    batch_.nodes_changed_ = true;
  }
  void remove_directory(const std::string& path) override {
    batch_.nodes_.remove_directory(path);
    batch_.nodes_changed_ = true;
  }
  Status grant(int64_t lease, int64_t ttl_s, const kvdpb::NodeLease& node) override {
    batch_.leases_.put({lease, std::clamp<int64_t>(ttl_s, 1, kMaxLeaseTtlS), 0, batch_.leases_.count_grant()});
    batch_.nodes_.put_lease(lease, node);
    return {};
  }
  Result<std::optional<kvdpb::NodeLease>> release(int64_t lease, const std::string& path) override {
    const std::optional<kvdpb::NodeLease> none;
    auto node = batch_.nodes_.node_of(lease);
    if (!node.ok()) return node.status();
    if (!*node || (*node)->path() != path) return none;
    bool in_use = false;
    KV_RETURN_IF_ERROR(batch_.for_keys_of(lease, [&in_use](const std::string&, const Record&) { in_use = true; }));
    if (in_use) return none;
    batch_.leases_.remove(lease);
    batch_.nodes_.remove_lease(lease);
    return node;
  }

 private:
  Batch& batch_;
};

Status Batch::node(const kvdpb::NodeRequest& request, kvdpb::NodeResponse* response) {
  response->Clear();
  if (request.lease() != 0 && lease_exists(request.lease())) return lease_exists_error();
  BatchNodes nodes(*this);
  KV_RETURN_IF_ERROR(finish(write_node(nodes, request, response)));
  response->mutable_header()->set_revision(revision_);
  context_.node_counts->add(operation_of(request), response->error_code() == 0);
  // Before anybody sees the revision.
  if (response->error_code() == 0) {
    const bool removes = request.method() == kvdpb::NodeRequest::DELETE;
    // Where nothing was there is nothing to refresh.
    const bool refreshes = request.refresh() && response->action() != "create";
    context_.node_actions->add(revision_, {.action = refreshes ? kRefreshAction : response->action(),
                                           .path = response->node().key(),
                                           .makes_directory = !removes && response->node().dir(),
                                           .expires_at_ms = request.expires_at_ms(),
                                           .prev_expires_at_ms = response->prev_node().expires_at_ms()});
  }
  return {};
}

Status Batch::delete_node_of(int64_t lease, const std::string& path) {
  nodes_.remove_lease(lease);
  const auto directory = nodes_.directory(path);
  if (!directory.ok()) return directory.status();
  if (!*directory || (*directory)->lease() != lease) return {};
  BatchNodes nodes(*this);
  return remove_tree(nodes, path);
}

}  // namespace kv::store
