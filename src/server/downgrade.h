// etcd's downgrade of a cluster: the permission to replace members by ones of the version before. While it is on, the
// cluster's version is that of the target. kvd's own formats don't change with it.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace kv::server {

// "3.5" or "3.5.4" as a cluster's version: "3.5.0". InvalidArgument "etcdserver: wrong downgrade target version
// format".
Result<std::string> parse_cluster_version(std::string_view text);

// "3.5.0" as etcd shows a cluster's version: "3.5".
std::string short_version(std::string_view version);

// Whether a cluster of `cluster_version` may begin a downgrade to `target`, in etcd's order: only to the minor version
// before ("etcdserver: invalid downgrade target version"), and not while one is under way ("etcdserver: cluster has a
// downgrade job in progress").
Status check_downgrade(std::string_view target, std::string_view cluster_version, bool in_progress);

}  // namespace kv::server
