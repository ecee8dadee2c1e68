#include "api/call_table.h"

#include <algorithm>

#include "api/guarded.h"

namespace kv::api {

bool ServerStream::write_encoded(const google::protobuf::Message& prototype, std::string_view own,
                                 std::shared_ptr<const void>, std::string_view shared) {
  const MessagePtr message(prototype.New());
  return parse_pieces(own, shared, message.get()) && write(*message);
}

void CallTable::add(Row row) {
  KV_CHECK(!by_path_.contains(row.path), "two rows for " + row.path);
  KV_CHECK((row.kind == Kind::kUnary) == static_cast<bool>(row.unary), "handler and kind disagree: " + row.path);
  if (gate_ != nullptr) guard(&row, *gate_);
  rows_.push_back(std::make_unique<Row>(std::move(row)));
  by_path_.emplace(rows_.back()->path, rows_.back().get());
}

const Row* CallTable::find(std::string_view path) const {
  const auto found = by_path_.find(path);
  return found == by_path_.end() ? nullptr : found->second;
}

std::vector<std::string> CallTable::services() const {
  std::vector<std::string> names;
  for (const auto& row : rows_) names.push_back(row->path.substr(1, row->path.rfind('/') - 1));
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace kv::api
