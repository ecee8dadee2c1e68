// Members and endpoints as rows of text, for the simple format and the tables.
#pragma once

#include <string>
#include <vector>

#include "client/types.h"
#include "kvctl/printer.h"

namespace kv::kvctl {

using Row = std::vector<std::string>;

struct Rows {
  Row heading;
  std::vector<Row> rows;
};

Rows member_rows(const client::MemberListResponse& response);
Rows health_rows(const std::vector<EndpointHealth>& endpoints);
Rows status_rows(const std::vector<EndpointStatus>& endpoints);
Rows hash_rows(const std::vector<EndpointHash>& endpoints);
Rows snapshot_rows(const SnapshotStatus& status);
Rows file_hash_rows(const FileHash& hash);

// A box of lines; the heading in capitals and centred, the cells to the right. Without rows, the heading alone.
std::string boxed(const Rows& table);

}  // namespace kv::kvctl
