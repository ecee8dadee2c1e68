// The key space as etcd's v2 API shows it: a tree of files and directories, with its conditions and errors. A view of
// the same keys as everything else; docs/rest.md tells where the two pull apart.
//
// A call is decided from one read of the keys that matter, and changes them by one transaction, which holds only if
// these are still as they were read: so it is one log entry, and atomic. Plain functions, without I/O.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "etcdserverpb/rpc.pb.h"

namespace kv::server {

enum class TreeAction : uint8_t { kGet, kPut, kPost, kDelete };

struct TreeRequest {
  TreeAction action = TreeAction::kGet;
  std::string key;  // clean_tree_key() made it; of a kPost the directory
  std::string value;
  bool recursive = false;
  bool dir = false;
  bool quorum = false;
  std::optional<bool> prev_exist;
  std::optional<std::string> prev_value;
  uint64_t prev_index = 0;  // 0: any
};

struct TreeNode {
  std::string key;  // empty: the root
  bool dir = false;
  std::optional<std::string> value;
  int64_t created = 0;
  int64_t modified = 0;
  std::map<std::string, TreeNode> nodes;  // by name
};

// etcd's v2 errors: clients compare the numbers, people read the texts.
struct TreeError {
  int code = 0;
  std::string cause;
};
std::string_view tree_error_text(int code);
int tree_error_http_status(int code);

struct TreeAnswer {
  std::optional<TreeError> error;  // then nothing else but `index` is set
  std::string action;
  bool created = false;
  TreeNode node;
  std::optional<TreeNode> before;
  int64_t index = 0;
  uint64_t term = 0;
};

// A transaction looks at every directory above a key.
inline constexpr size_t kMaxTreeDepth = 48;

// "a//b/../c/" -> "/a/c"; "/" is the root.
std::string clean_tree_key(std::string_view path);

// What must be read to decide the request, whose key must not be deeper than kMaxTreeDepth.
etcdserverpb::TxnRequest tree_read(const TreeRequest& request);
// The answer, or the transaction that makes the change. For reads always the answer.
std::variant<TreeAnswer, etcdserverpb::TxnRequest> decide_tree(const TreeRequest& request,
                                                               const etcdserverpb::TxnResponse& read);
// The answer when that transaction has succeeded. One that has not means: read and decide again.
TreeAnswer tree_written(const TreeRequest& request, const etcdserverpb::TxnResponse& read,
                        const etcdserverpb::TxnResponse& written);

}  // namespace kv::server
