#include "server/key_tree.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

namespace kv::server {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::RangeRequest;
using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;

bool is_root(std::string_view key) { return key == "/"; }
// All keys below a directory: from here ...
std::string below(const std::string& key) { return is_root(key) ? key : key + "/"; }
// ... to here.
std::string below_end(const std::string& key) { return is_root(key) ? "0" : key + "0"; }

// The directories above a key, from the top and without the root.
std::vector<std::string> above(const std::string& key) {
  std::vector<std::string> all;
  for (size_t at = key.find('/', 1); at != std::string::npos; at = key.find('/', at + 1)) {
    all.push_back(key.substr(0, at));
  }
  return all;
}

RangeRequest* add_range(TxnRequest& txn, const std::string& key, bool serializable) {
  RangeRequest* range = txn.add_success()->mutable_request_range();
  range->set_key(key);
  range->set_serializable(serializable);
  return range;
}

// Whether anything is below.
RangeRequest* add_one_below(TxnRequest& txn, const std::string& key, bool serializable) {
  RangeRequest* range = add_range(txn, below(key), serializable);
  range->set_range_end(below_end(key));
  range->set_keys_only(true);
  range->set_limit(1);
  return range;
}

// What tree_read() has read: the key, what is below it, then the same of each directory above.
class Seen {
 public:
  Seen(const TreeRequest& request, const TxnResponse& read) : request_(request), read_(read) {}

  const mvccpb::KeyValue* file() const { return is_root(request_.key) ? nullptr : first(0); }
  const etcdserverpb::RangeResponse& inside() const { return read_.responses(1).response_range(); }
  bool is_dir() const { return is_root(request_.key) || inside().kvs_size() > 0; }
  int64_t revision() const { return read_.header().revision(); }

  // Why there is nothing at the key: a file is above it, or nothing is at the first name that is missing.
  TreeError missing() const {
    int at = 2;
    for (const std::string& key : above(request_.key)) {
      if (first(at) != nullptr) return {104, key};
      if (first(at + 1) == nullptr) return {100, key};
      at += 2;
    }
    return {100, request_.key};
  }
  bool file_above() const { return missing().code == 104; }

 private:
  const mvccpb::KeyValue* first(int response) const {
    const auto& range = read_.responses(response).response_range();
    return range.kvs_size() > 0 ? &range.kvs(0) : nullptr;
  }

  const TreeRequest& request_;
  const TxnResponse& read_;
};

TreeNode file_node(const mvccpb::KeyValue& kv) {
  return {.key = kv.key(),
          .dir = false,
          .value = kv.value(),
          .created = kv.create_revision(),
          .modified = kv.mod_revision(),
          .nodes = {}};
}

void note_dir(TreeNode& dir, const mvccpb::KeyValue& kv) {
  dir.dir = true;
  if (dir.created == 0 || kv.create_revision() < dir.created) dir.created = dir.modified = kv.create_revision();
}

// A directory is as old as the oldest key below it.
TreeNode dir_node(const std::string& key, const etcdserverpb::RangeResponse& inside) {
  TreeNode node;
  if (!is_root(key)) node.key = key;
  node.dir = true;
  for (const auto& kv : inside.kvs()) note_dir(node, kv);
  return node;
}

// Puts a key where it belongs below `top`. Not shown: hidden names, what no path leads to (names that are empty or
// dots, more names than kMaxTreeDepth), and what lies below a file, which only its own name leads to.
void place(TreeNode& top, std::string_view prefix, const mvccpb::KeyValue& kv, bool recursive) {
  const std::string_view key = kv.key();
  if (static_cast<size_t>(std::count(key.begin(), key.end(), '/')) > kMaxTreeDepth) return;
  for (size_t at = prefix.size(); at <= key.size();) {
    const size_t end = std::min(key.find('/', at), key.size());
    const std::string_view name = key.substr(at, end - at);
    if (name.empty() || name.front() == '_' || name == "." || name == "..") return;
    at = end + 1;
  }
  TreeNode* dir = &top;
  for (size_t at = prefix.size();;) {
    const size_t end = std::min(key.find('/', at), key.size());
    TreeNode& child = dir->nodes[std::string(key.substr(at, end - at))];
    if (child.value) return;
    if (end == key.size()) {
      child = file_node(kv);
      return;
    }
    child.key = key.substr(0, end);
    note_dir(child, kv);
    if (!recursive) return;
    dir = &child;
    at = end + 1;
  }
}

TreeAnswer refuse(const Seen& seen, TreeError error) {
  TreeAnswer answer;
  answer.error = std::move(error);
  answer.index = seen.revision();
  return answer;
}

TreeAnswer get(const TreeRequest& request, const Seen& seen, const TxnResponse& read) {
  TreeAnswer answer;
  if (const auto* kv = seen.file()) {
    answer.node = file_node(*kv);
  } else if (seen.is_dir()) {
    answer.node = dir_node(request.key, seen.inside());
    for (const auto& inside : seen.inside().kvs()) {
      place(answer.node, below(request.key), inside, request.recursive);
    }
  } else {
    return refuse(seen, seen.missing());
  }
  answer.action = "get";
  answer.index = seen.revision();
  answer.term = read.header().raft_term();
  return answer;
}

bool compares(const TreeRequest& request) { return request.prev_value || request.prev_index != 0; }

// etcd names the sides that differ, values before indexes.
std::optional<TreeError> compare(const TreeRequest& request, const mvccpb::KeyValue& kv) {
  std::string cause;
  if (request.prev_value && *request.prev_value != kv.value()) {
    cause = "[" + *request.prev_value + " != " + kv.value() + "]";
  }
  if (request.prev_index != 0 && request.prev_index != static_cast<uint64_t>(kv.mod_revision())) {
    if (!cause.empty()) cause += ' ';
    cause += "[" + std::to_string(request.prev_index) + " != " + std::to_string(kv.mod_revision()) + "]";
  }
  if (cause.empty()) return std::nullopt;
  return TreeError{101, std::move(cause)};
}

std::optional<TreeError> refuse_put(const TreeRequest& request, const Seen& seen) {
  if (is_root(request.key)) return TreeError{107, "/"};
  const auto* kv = seen.file();
  const bool exists = kv != nullptr || seen.is_dir();
  // etcd looks at prevExist=false before any comparison.
  if (request.prev_exist == false) {
    if (exists) return TreeError{105, request.key};
    return seen.file_above() ? std::optional(seen.missing()) : std::nullopt;
  }
  if (kv != nullptr) return compare(request, *kv);
  if (exists) return TreeError{102, request.key};
  if (request.prev_exist == true || compares(request) || seen.file_above()) return seen.missing();
  return std::nullopt;
}

std::optional<TreeError> refuse_post(const TreeRequest& request, const Seen& seen) {
  if (seen.file() != nullptr) return TreeError{104, request.key};
  if (!seen.is_dir() && seen.file_above()) return seen.missing();
  return std::nullopt;
}

std::optional<TreeError> refuse_delete(const TreeRequest& request, const Seen& seen) {
  if (is_root(request.key)) return TreeError{107, "/"};
  if (const auto* kv = seen.file()) return compare(request, *kv);
  if (!seen.is_dir()) return seen.missing();
  if (compares(request) || (!request.dir && !request.recursive)) return TreeError{102, request.key};
  if (!request.recursive) return TreeError{108, request.key};
  return std::nullopt;
}

Compare* add_compare(TxnRequest& txn, const std::string& key, Compare::CompareResult result,
                     Compare::CompareTarget target) {
  Compare* compare = txn.add_compare();
  compare->set_key(key);
  compare->set_result(result);
  compare->set_target(target);
  return compare;
}

void require_unchanged(TxnRequest& txn, const std::string& key, int64_t mod_revision) {
  add_compare(txn, key, Compare::EQUAL, Compare::MOD)->set_mod_revision(mod_revision);
}

// Nothing in the range was created after `revision`; 0: nothing is there. Looks at every key of the range while it is
// applied, so it must be one with few.
void require_none_newer(TxnRequest& txn, const std::string& begin, const std::string& end, int64_t revision) {
  Compare* compare = add_compare(txn, begin, Compare::LESS, Compare::CREATE);
  compare->set_range_end(end);
  compare->set_create_revision(revision + 1);
}

// A new name: nothing is there, and no file is above.
void require_free(TxnRequest& txn, const std::string& key) {
  require_unchanged(txn, key, 0);
  require_none_newer(txn, below(key), below_end(key), 0);
  for (const std::string& dir : above(key)) require_unchanged(txn, dir, 0);
}

// Twenty digits, so that names sort as numbers do. A later call reads a later revision. One that runs at the same time
// and finds a larger one there fails and reads again: whoever comes later to the directory has the larger name.
std::string next_name(const TreeRequest& request, const Seen& seen) {
  char digits[24];
  (void)std::snprintf(digits, sizeof digits, "%020lld", static_cast<long long>(seen.revision() + 1));
  return below(request.key) + digits;
}

std::string put_key(const TreeRequest& request, const Seen& seen) {
  return request.action == TreeAction::kPost ? next_name(request, seen) : request.key;
}

}  // namespace

std::string_view tree_error_text(int code) {
  switch (code) {
    case 100: return "Key not found";
    case 101: return "Compare failed";
    case 102: return "Not a file";
    case 104: return "Not a directory";
    case 105: return "Key already exists";
    case 107: return "Root is read only";
    case 108: return "Directory not empty";
    case 110: return "The request requires user authentication";
    case 201: return "PrevValue is Required in POST form";
    case 203: return "The given index in POST form is not a number";
    case 209: return "Invalid field";
    case 210: return "Invalid POST form";
    case 301: return "During Leader Election";
    default: return "Raft Internal Error";
  }
}

int tree_error_http_status(int code) {
  switch (code) {
    case 100: return 404;
    case 101:
    case 105: return 412;
    case 102:
    case 108: return 403;
    case 110: return 401;
    case 300:
    case 301: return 500;
    default: return 400;
  }
}

std::string clean_tree_key(std::string_view path) {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    if (name.empty() || name == ".") continue;
    if (name != "..") {
      names.push_back(name);
    } else if (!names.empty()) {
      names.pop_back();
    }
  }
  std::string key;
  for (const std::string_view name : names) key.append("/").append(name);
  return key.empty() ? "/" : key;
}

TxnRequest tree_read(const TreeRequest& request) {
  TxnRequest txn;
  const bool get = request.action == TreeAction::kGet;
  const bool local = get && !request.quorum;
  add_range(txn, request.key, local);
  if (get) {
    add_range(txn, below(request.key), local)->set_range_end(below_end(request.key));
  } else {
    RangeRequest* range = add_one_below(txn, request.key, local);
    if (request.action == TreeAction::kDelete && request.recursive) {  // the answer shows its indexes
      range->set_sort_target(RangeRequest::CREATE);
      range->set_sort_order(RangeRequest::ASCEND);
    }
  }
  for (const std::string& key : above(request.key)) {
    add_range(txn, key, local)->set_keys_only(true);
    add_one_below(txn, key, local);
  }
  return txn;
}

std::variant<TreeAnswer, TxnRequest> decide_tree(const TreeRequest& request, const TxnResponse& read) {
  const Seen seen(request, read);
  std::optional<TreeError> error;
  switch (request.action) {
    case TreeAction::kGet: return get(request, seen, read);
    case TreeAction::kPut: error = refuse_put(request, seen); break;
    case TreeAction::kPost: error = refuse_post(request, seen); break;
    case TreeAction::kDelete: error = refuse_delete(request, seen); break;
  }
  if (error) return refuse(seen, *std::move(error));

  TxnRequest txn;
  const auto* kv = seen.file();
  if (request.action == TreeAction::kDelete) {
    require_unchanged(txn, request.key, kv != nullptr ? kv->mod_revision() : 0);
    auto* gone = txn.add_success()->mutable_request_delete_range();
    gone->set_key(kv != nullptr ? request.key : below(request.key));
    if (kv == nullptr) gone->set_range_end(below_end(request.key));
    return txn;
  }
  const std::string key = put_key(request, seen);
  // No larger number may have come meanwhile.
  if (request.action == TreeAction::kPost) require_none_newer(txn, key, below(request.key) + ":", seen.revision());
  if (kv != nullptr && request.action == TreeAction::kPut) {
    require_unchanged(txn, key, kv->mod_revision());
  } else {
    require_free(txn, key);
  }
  auto* put = txn.add_success()->mutable_request_put();
  put->set_key(key);
  put->set_value(request.value);
  return txn;
}

TreeAnswer tree_written(const TreeRequest& request, const TxnResponse& read, const TxnResponse& written) {
  const Seen seen(request, read);
  const auto* kv = seen.file();
  TreeAnswer answer;
  answer.index = written.header().revision();
  answer.term = written.header().raft_term();
  if (kv != nullptr) {
    answer.before = file_node(*kv);
  } else if (request.action == TreeAction::kDelete) {
    answer.before = dir_node(request.key, seen.inside());
  }
  answer.node.modified = answer.index;
  answer.node.created = answer.before ? answer.before->created : answer.index;
  if (request.action == TreeAction::kDelete) {
    answer.action = compares(request) ? "compareAndDelete" : "delete";
    answer.node.key = request.key;
    answer.node.dir = answer.before->dir;
    return answer;
  }
  answer.node.key = put_key(request, seen);
  answer.node.value = request.value;
  answer.created = !answer.before;
  if (request.action == TreeAction::kPost || request.prev_exist == false) {
    answer.action = "create";
  } else if (compares(request)) {
    answer.action = "compareAndSwap";
  } else {
    answer.action = request.prev_exist ? "update" : "set";
  }
  return answer;
}

}  // namespace kv::server
