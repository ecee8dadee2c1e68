// Calls of /v2/keys on a store: what they leave in the key space, and beside it. The rules themselves are compared with
// etcd's by tests/conformance/rest.
#include "store/node_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "store/temp_store.h"

namespace kv::store {
namespace {

using kvdpb::NodeRequest;
using kvdpb::NodeResponse;

NodeRequest request(NodeRequest::Method method, const std::string& path, const std::string& value = "") {
  NodeRequest r;
  r.set_method(method);
  r.set_path(path);
  r.set_value(value);
  return r;
}

class NodeTest : public testing::Test {
 protected:
  NodeResponse write(const NodeRequest& r) {
    auto response = store_.apply<NodeResponse>([&](ApplyBatch& b, auto* out) { return b.node(r, out); });
    EXPECT_TRUE(response.ok()) << response.status().to_string();
    return response.ok() ? *response : NodeResponse();
  }
  NodeResponse put(const std::string& path, const std::string& value) {
    return write(request(NodeRequest::PUT, path, value));
  }
  NodeResponse make_directory(const std::string& path, int64_t lease = 0) {
    NodeRequest r = request(NodeRequest::PUT, path);
    r.set_dir(true);
    if (lease != 0) {
      r.set_lease(lease);
      r.set_ttl_s(100);
    }
    return write(r);
  }
  NodeResponse read(const std::string& path, bool recursive = false) {
    NodeRequest r = request(NodeRequest::GET, path);
    r.set_recursive(recursive);
    NodeResponse response;
    const Status status = store_->node(r, &response);
    EXPECT_TRUE(status.ok()) << status.to_string();
    return response;
  }
  Status revoke(int64_t lease) {
    etcdserverpb::LeaseRevokeRequest r;
    r.set_id(lease);
    return store_
        .apply<etcdserverpb::LeaseRevokeResponse>([&](ApplyBatch& b, auto* out) { return b.lease_revoke(r, out); })
        .status();
  }
  // "/a=1 /d/ /d/b=2": files and directories, in order.
  std::string tree() { return names(read("/", true).node()); }

  TempStore store_;

 private:
  static std::string names(const kvdpb::Node& node) {
    std::string out;
    for (const kvdpb::Node& child : node.nodes()) {
      out += (out.empty() ? "" : " ") + child.key() + (child.dir() ? "/" : "=" + child.value());
      if (const std::string below = names(child); !below.empty()) out += " " + below;
    }
    return out;
  }
};

TEST_F(NodeTest, Files_are_keys_and_directories_are_none) {
  put("/d/a", "1");
  EXPECT_EQ(store_.list("/", "0"), "/d/a=1");
  EXPECT_EQ(store_.put("/e/b", "2"), 3);
  EXPECT_EQ(tree(), "/d/ /d/a=1 /e/ /e/b=2");
  // The one was made as a parent, the other is there for its key only.
  store_.del("/", "0");
  EXPECT_EQ(tree(), "/d/");
  EXPECT_EQ(read("/d").node().created_index(), 2);
}

TEST_F(NodeTest, A_directory_alone_takes_a_revision_that_no_key_has) {
  EXPECT_EQ(make_directory("/d").node().created_index(), 2);
  EXPECT_EQ(store_->revision(), Revision(2));
  EXPECT_EQ(store_.put("a", "1"), 3);
  EXPECT_EQ(make_directory("/e").node().created_index(), 4);
  const uint32_t hash = store_->hash_kv(0)->hash;
  store_.reopen();
  EXPECT_EQ(store_->revision(), Revision(4));
  EXPECT_EQ(store_->hash_kv(0)->hash, hash);
  EXPECT_EQ(tree(), "/d/ /e/");
  EXPECT_EQ(store_.get("a", 4), "1");
  EXPECT_EQ(store_.get("a", 2), "(none)");
  EXPECT_TRUE(store_.compact(4).ok());
  EXPECT_TRUE(store_.wait_compacted(4).ok());
  EXPECT_EQ(store_.get("a"), "1");
  EXPECT_EQ(store_.put("a", "2"), 5);
}

TEST_F(NodeTest, What_is_refused_changes_nothing) {
  put("/a", "1");
  const auto before = store_->revision();
  for (NodeRequest r : {request(NodeRequest::PUT, "/"), request(NodeRequest::PUT, "/a/b"),
                        request(NodeRequest::POST, "/a"), request(NodeRequest::DELETE, "/x/y")}) {
    r.set_lease(7);
    r.set_ttl_s(5);
    EXPECT_NE(write(r).error_code(), 0) << r.DebugString();
  }
  EXPECT_EQ(store_->revision(), before);
  EXPECT_TRUE(store_->leases().empty());
  EXPECT_EQ(tree(), "/a=1");
}

TEST_F(NodeTest, A_directory_ends_with_its_lease_and_all_below_in_one_revision) {
  make_directory("/d", 7);
  put("/d/e/a", "1");
  put("/d/b", "2");
  store_.put("/d//odd", "3");  // no node, and yet below
  put("/d2", "4");
  const int64_t before = store_->revision().value();
  EXPECT_TRUE(revoke(7).ok());
  EXPECT_EQ(store_->revision().value(), before + 1);
  EXPECT_EQ(store_->node_action(before + 1).action, "expire");
  EXPECT_EQ(tree(), "/d2=4");
  EXPECT_EQ(store_.list("/", "0"), "/d2=4");
  store_.reopen();
  EXPECT_EQ(tree(), "/d2=4");
}

TEST_F(NodeTest, A_refresh_is_told_to_nobody_and_what_it_makes_is) {
  NodeRequest r = request(NodeRequest::PUT, "/a");
  r.set_refresh(true);
  r.set_prev_exist(false);
  r.set_lease(7);
  r.set_ttl_s(5);
  r.set_expires_at_ms(5'000);
  EXPECT_EQ(write(r).action(), "create");
  const NodeAction made = store_->node_action(store_->revision().value());
  EXPECT_EQ(made.action, "create");
  EXPECT_EQ(made.path, "/a");
  EXPECT_EQ(made.expires_at_ms, 5'000);
  r.set_prev_exist(true);
  r.set_lease(8);
  r.set_expires_at_ms(6'000);
  EXPECT_EQ(write(r).error_code(), 0);
  const NodeAction refreshed = store_->node_action(store_->revision().value());
  EXPECT_EQ(refreshed.action, kRefreshAction);
  EXPECT_EQ(refreshed.expires_at_ms, 6'000);
  EXPECT_EQ(refreshed.prev_expires_at_ms, 5'000);
}

TEST_F(NodeTest, A_directory_in_the_place_of_a_file_is_known_as_one) {
  put("/a", "1");
  make_directory("/a", 0);
  EXPECT_TRUE(store_->node_action(store_->revision().value()).makes_directory);
  NodeRequest r = request(NodeRequest::DELETE, "/a");
  r.set_dir(true);
  EXPECT_EQ(write(r).error_code(), 0);
  EXPECT_FALSE(store_->node_action(store_->revision().value()).makes_directory);
}

TEST_F(NodeTest, A_lease_that_others_hang_on_is_left_to_them) {
  NodeRequest r = request(NodeRequest::PUT, "/a", "1");
  r.set_lease(7);
  r.set_ttl_s(100);
  write(r);
  auto shared = put_request("b", "2");
  shared.set_lease(7);
  ASSERT_TRUE(store_.put(shared).ok());
  EXPECT_THAT(put("/a", "3").revoked_leases(), testing::IsEmpty());
  EXPECT_TRUE(store_->lease(7).has_value());
  // Nor is a lease of gRPC's ended with the only key on it.
  etcdserverpb::LeaseGrantRequest grant;
  grant.set_id(8);
  grant.set_ttl(100);
  ASSERT_TRUE(
      store_
          .apply<etcdserverpb::LeaseGrantResponse>([&](ApplyBatch& b, auto* out) { return b.lease_grant(grant, out); })
          .ok());
  auto own = put_request("/c", "4");
  own.set_lease(8);
  ASSERT_TRUE(store_.put(own).ok());
  EXPECT_THAT(put("/c", "5").revoked_leases(), testing::IsEmpty());
  EXPECT_TRUE(store_->lease(8).has_value());
}

TEST_F(NodeTest, A_listing_is_bounded_in_depth) {
  std::string deep;
  for (int i = 0; i < 20'000; ++i) deep += "/a";
  store_.put(deep, "1");
  const NodeResponse listed = read("/", true);
  const kvdpb::Node* node = &listed.node();
  size_t depth = 0;
  for (; node->nodes_size() > 0; node = &node->nodes(0)) ++depth;
  EXPECT_EQ(depth, kMaxNodeDepth);
}

}  // namespace
}  // namespace kv::store
