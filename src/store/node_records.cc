#include "store/node_records.h"

#include <memory>

#include "store/errors.h"

namespace kv::store {
namespace {

constexpr std::string_view kDirectory = "rest/d";
constexpr std::string_view kLease = "rest/l";

std::string directory_record(std::string_view path) { return std::string(kDirectory).append(path); }

std::string lease_record(int64_t lease) {
  std::string name(kLease);
  for (int shift = 60; shift >= 0; shift -= 4)
    name += "0123456789abcdef"[(static_cast<uint64_t>(lease) >> shift) & 0xf];
  return name;
}

Result<kvdpb::NodeDirectory> parse_directory(std::string_view path, std::string_view bytes) {
  kvdpb::NodeDirectory directory;
  if (!directory.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Status(Code::kDataLoss, "state: the record of directory " + std::string(path) + " can't be read");
  return directory;
}

}  // namespace

Result<std::optional<std::string>> NodeRecords::get(const std::string& name) const {
  if (const auto changed = changed_.find(name); changed != changed_.end()) return changed->second;
  rocksdb::ReadOptions options;
  options.snapshot = snapshot_;
  std::string value;
  const std::string key = std::string(kMetaRecordPrefix).append(name);
  const rocksdb::Status s = database_->Get(options, database_.meta(), slice(key), &value);
  if (s.IsNotFound()) return std::optional<std::string>();
  if (!s.ok()) return from_rocksdb(s, "state: reading meta");
  return std::optional<std::string>(std::move(value));
}

Result<std::optional<kvdpb::NodeDirectory>> NodeRecords::directory(const std::string& path) const {
  const auto bytes = get(directory_record(path));
  if (!bytes.ok()) return bytes.status();
  if (!*bytes) return std::optional<kvdpb::NodeDirectory>();
  auto directory = parse_directory(path, **bytes);
  if (!directory.ok()) return directory.status();
  return std::optional<kvdpb::NodeDirectory>(*std::move(directory));
}

Status NodeRecords::directories(const std::string& begin, const std::string& end,
                                NodeReader::VisitDirectory visit) const {
  const std::string from = directory_record(begin), until = directory_record(end);
  rocksdb::ReadOptions options;
  options.snapshot = snapshot_;
  const std::unique_ptr<rocksdb::Iterator> stored(database_->NewIterator(options, database_.meta()));
  stored->Seek(std::string(kMetaRecordPrefix) + from);
  auto changed = changed_.lower_bound(from);
  const auto stored_name = [&]() -> std::optional<std::string> {
    if (!stored->Valid() || !stored->key().starts_with(slice(kMetaRecordPrefix))) return std::nullopt;
    std::string name = stored->key().ToString().substr(kMetaRecordPrefix.size());
    if (name >= until) return std::nullopt;
    return name;
  };
  for (;;) {
    const std::optional<std::string> name = stored_name();
    const bool in_changes = changed != changed_.end() && changed->first < until;
    if (!name && !in_changes) break;
    std::string path;
    std::optional<std::string> bytes;
    if (in_changes && (!name || changed->first <= *name)) {
      path = changed->first.substr(kDirectory.size());
      bytes = changed->second;
      if (name && changed->first == *name) stored->Next();
      ++changed;
    } else {
      path = name->substr(kDirectory.size());
      bytes = stored->value().ToString();
      stored->Next();
    }
    if (!bytes) continue;
    const auto directory = parse_directory(path, *bytes);
    if (!directory.ok()) return directory.status();
    if (!visit(path, *directory)) return {};
  }
  return from_rocksdb(stored->status(), "state: reading meta");
}

Result<std::optional<kvdpb::NodeLease>> NodeRecords::node_of(int64_t lease) const {
  const auto bytes = get(lease_record(lease));
  if (!bytes.ok()) return bytes.status();
  std::optional<kvdpb::NodeLease> node;
  if (!*bytes) return node;
  if (!node.emplace().ParseFromString(**bytes))
    return Status(Code::kDataLoss,
                  "state: the record of the node of lease " + std::to_string(lease) + " can't be read");
  return node;
}

void NodeRecords::put_directory(const std::string& path, const kvdpb::NodeDirectory& directory) {
  changed_[directory_record(path)] = directory.SerializeAsString();
}
void NodeRecords::remove_directory(const std::string& path) { changed_[directory_record(path)] = std::nullopt; }
void NodeRecords::put_lease(int64_t lease, const kvdpb::NodeLease& node) {
  changed_[lease_record(lease)] = node.SerializeAsString();
}
void NodeRecords::remove_lease(int64_t lease) { changed_[lease_record(lease)] = std::nullopt; }

}  // namespace kv::store
