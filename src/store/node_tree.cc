#include "store/node_tree.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace kv::store {
namespace {

using kvdpb::Node;
using kvdpb::NodeDirectory;
using kvdpb::NodeRequest;
using kvdpb::NodeResponse;

bool is_root(std::string_view path) { return path == "/"; }

std::string join(std::string_view directory, std::string_view name) {
  std::string path(is_root(directory) ? "" : directory);
  return path.append("/").append(name);
}

bool hidden(std::string_view name) { return name.starts_with('_'); }

// False for what no clean path has in it.
bool clean_name(std::string_view name) { return !name.empty() && name != "." && name != ".."; }

void refuse(int code, std::string cause, NodeResponse* response) {
  response->set_error_code(code);
  response->set_cause(std::move(cause));
}

// What stands at a path, its value included.
struct Place {
  enum class Kind : uint8_t { kNothing, kFile, kDirectory };
  Kind kind = Kind::kNothing;
  NodeFile file;
  NodeDirectory directory;  // all 0 when nobody has made it

  bool exists() const { return kind != Kind::kNothing; }
  bool is_file() const { return kind == Kind::kFile; }
  bool is_directory() const { return kind == Kind::kDirectory; }
  int64_t created() const { return is_file() ? file.created : directory.created_index(); }
  int64_t modified() const { return is_file() ? file.modified : directory.modified_index(); }
  int64_t lease() const { return is_file() ? file.lease : directory.lease(); }
};

Result<bool> anything_below(NodeReader& state, const std::string& path) {
  bool any = false;
  const auto stop = [&any](const auto&...) {
    any = true;
    return false;
  };
  KV_RETURN_IF_ERROR(state.files(below_begin(path), below_end(path), stop));
  if (!any) KV_RETURN_IF_ERROR(state.directories(below_begin(path), below_end(path), stop));
  return any;
}

Result<Place> look(NodeReader& state, const std::string& path) {
  Place place;
  if (is_root(path)) {
    place.kind = Place::Kind::kDirectory;
    return place;
  }
  auto file = state.file(path);
  if (!file.ok()) return file.status();
  if (*file) {
    place.kind = Place::Kind::kFile;
    place.file = std::move(**file);
    return place;
  }
  auto directory = state.directory(path);
  if (!directory.ok()) return directory.status();
  if (*directory) {
    place.kind = Place::Kind::kDirectory;
    place.directory = **directory;
    return place;
  }
  const Result<bool> below = anything_below(state, path);
  if (!below.ok()) return below.status();
  if (*below) place.kind = Place::Kind::kDirectory;
  return place;
}

void fill(const std::string& path, const Place& place, Node* node) {
  if (!is_root(path)) node->set_key(path);
  if (place.is_file()) {
    node->set_value(place.file.value);
  } else {
    node->set_dir(true);
  }
  node->set_created_index(place.created());
  node->set_modified_index(place.modified());
  node->set_lease(place.lease());
}

// Says whether the way to `path` leads through directories only, or what is in its way: a file (104), or, of a node
// that must be there, nothing (100).
Status walk(NodeReader& state, const std::string& path, bool must_exist, NodeResponse* response,
            std::vector<std::string>* missing) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    const auto place = look(state, parent);
    if (!place.ok()) return place.status();
    if (place->is_file()) {
      refuse(node_error::kNotADirectory, parent, response);
      return {};
    }
    if (place->exists()) continue;
    if (must_exist) {
      refuse(node_error::kKeyNotFound, parent, response);
      return {};
    }
    if (missing != nullptr) missing->push_back(parent);
  }
  return {};
}

// ---- listing ----

class Listing {
 public:
  Listing(NodeReader& state, bool recursive) : state_(state), recursive_(recursive) {}

  Status of(const std::string& directory, Node* node) {
    if (static_cast<size_t>(std::count(directory.begin(), directory.end(), '/')) >= kMaxNodeDepth) return {};
    std::map<std::string, Place> children;
    KV_RETURN_IF_ERROR(collect(directory, &children));
    for (const auto& [name, place] : children) {
      const std::string path = join(directory, name);
      Node* child = node->add_nodes();
      fill(path, place, child);
      bytes_ += path.size() + place.file.value.size() + 64;
      if (too_large()) return {};
      if (recursive_ && place.is_directory()) KV_RETURN_IF_ERROR(of(path, child));
    }
    return {};
  }

  bool too_large() const { return bytes_ > kMaxListingBytes; }

 private:
  Status collect(const std::string& directory, std::map<std::string, Place>* children) {
    const size_t skip = below_begin(directory).size();
    const std::string end = below_end(directory);
    size_t bytes = bytes_;
    // One scan finds the next child; what lies below a child that is a directory is jumped over.
    std::string from = below_begin(directory);
    while (!from.empty()) {
      std::string next;
      KV_RETURN_IF_ERROR(state_.files(from, end, [&](std::string_view key, const NodeFile& file) {
        const std::string_view rest = key.substr(skip);
        const size_t slash = rest.find('/');
        const std::string_view name = rest.substr(0, slash);
        const bool shown = clean_name(name) && !hidden(name);
        if (slash == std::string_view::npos) {
          if (!shown) return true;
          Place& place = (*children)[std::string(name)];
          place.kind = Place::Kind::kFile;
          place.file = file;
          bytes += key.size() + file.value.size() + 64;
          return bytes <= kMaxListingBytes;
        }
        // Of a directory, one key that is a node's is enough to show it.
        if (shown && clean_below(rest.substr(slash + 1))) {
          Place& place = (*children)[std::string(name)];
          if (!place.is_file()) place.kind = Place::Kind::kDirectory;
        } else if (shown) {
          return true;
        }
        next = below_end(key.substr(0, skip + slash));
        return false;
      }));
      from = std::move(next);
    }
    if (bytes > kMaxListingBytes) bytes_ = bytes;
    return state_.directories(below_begin(directory), end, [&](const std::string& path, const NodeDirectory& made) {
      const std::string_view rest = std::string_view(path).substr(skip);
      if (rest.find('/') != std::string_view::npos || hidden(rest)) return true;
      Place& place = (*children)[std::string(rest)];
      if (place.is_file()) return true;
      place.kind = Place::Kind::kDirectory;
      place.directory = made;
      return true;
    });
  }

  static bool clean_below(std::string_view rest) {
    for (;;) {
      const size_t slash = rest.find('/');
      if (!clean_name(rest.substr(0, slash))) return false;
      if (slash == std::string_view::npos) return true;
      rest.remove_prefix(slash + 1);
    }
  }

  NodeReader& state_;
  const bool recursive_;
  size_t bytes_ = 0;
};

// ---- writing ----

// A call that writes, once it is known what stands where it writes.
class Writing {
 public:
  Writing(NodeWriter& state, const NodeRequest& request, NodeResponse* response)
      : state_(state), request_(request), response_(response) {}

  Status run() {
    switch (request_.method()) {
      case NodeRequest::PUT: return put();
      case NodeRequest::POST: return create_in_order();
      case NodeRequest::DELETE: return remove();
      default: return {Code::kInternal, "a read is no command"};
    }
  }

 private:
  bool conditional() const { return request_.prev_index() > 0 || !request_.prev_value().empty(); }

  Status put() {
    if (is_root(request_.path())) return refused(node_error::kRootIsReadOnly, "/");
    const auto before = look(state_, request_.path());
    if (!before.ok()) return before.status();
    if (request_.has_prev_exist() && !request_.prev_exist()) {
      if (before->exists()) return refused(node_error::kKeyExists, request_.path());
      return set("create", *before);
    }
    if (request_.has_prev_exist() || conditional()) {
      if (!before->exists()) return not_found();
      return conditional() ? compare_and_swap(*before) : update(*before);
    }
    if (before->is_directory()) return refused(node_error::kNotAFile, request_.path());
    if (request_.refresh() && !before->exists()) return not_found();
    return set("set", *before);
  }

  Status create_in_order() {
    // The parent is a directory, or becomes one.
    if (!is_root(request_.path())) {
      const auto parent = look(state_, request_.path());
      if (!parent.ok()) return parent.status();
      if (parent->is_file()) return refused(node_error::kNotADirectory, request_.path());
    }
    std::string number = std::to_string(state_.next());
    number.insert(0, 20 - number.size(), '0');
    path_ = join(request_.path(), number);
    const auto before = look(state_, path_);
    if (!before.ok()) return before.status();
    if (before->exists()) return refused(node_error::kKeyExists, path_);
    return set("create", *before);
  }

  Status update(const Place& before) {
    if (before.is_directory()) {
      if (!request_.value().empty()) return refused(node_error::kNotAFile, request_.path());
      NodeDirectory directory = before.directory;
      KV_RETURN_IF_ERROR(grant(path()));
      if (directory.created_index() == 0) directory = made_now();
      directory.set_lease(request_.lease());
      describe("update", before);
      state_.put_directory(path(), directory);
      KV_RETURN_IF_ERROR(release(before));
      Place now = before;
      now.directory = directory;
      // Said once, as by etcd: what is kept is the index at which it was made.
      now.directory.set_modified_index(state_.next());
      fill(path(), now, response_->mutable_node());
      return {};
    }
    return write("update", before);
  }

  Status compare_and_swap(const Place& before) {
    if (before.is_directory()) return refused(node_error::kNotAFile, request_.path());
    if (std::string cause = differs(before); !cause.empty()) return refused(node_error::kCompareFailed, cause);
    return write("compareAndSwap", before);
  }

  // Makes a node, and the directories above it.
  Status set(const char* action, const Place& before) {
    std::vector<std::string> parents;
    KV_RETURN_IF_ERROR(walk(state_, path(), false, response_, &parents));
    if (response_->error_code() != 0) return {};
    for (const std::string& parent : parents) state_.put_directory(parent, made_now());
    if (!request_.dir()) return write(action, before);
    KV_RETURN_IF_ERROR(grant(path()));
    describe(action, before);
    if (before.is_file()) KV_RETURN_IF_ERROR(state_.remove(path()));
    Place now;
    now.kind = Place::Kind::kDirectory;
    now.directory = made_now();
    now.directory.set_lease(request_.lease());
    state_.put_directory(path(), now.directory);
    KV_RETURN_IF_ERROR(release(before));
    fill(path(), now, response_->mutable_node());
    return {};
  }

  // A file's new value.
  Status write(const char* action, const Place& before) {
    KV_RETURN_IF_ERROR(grant(path()));
    describe(action, before);
    Place now;
    now.kind = Place::Kind::kFile;
    now.file.value = request_.refresh() ? before.file.value : request_.value();
    now.file.modified = state_.next();
    now.file.lease = request_.lease();
    const Result<int64_t> created = state_.put(path(), now.file.value, now.file.lease);
    if (!created.ok()) return created.status();
    now.file.created = *created;
    KV_RETURN_IF_ERROR(release(before));
    fill(path(), now, response_->mutable_node());
    return {};
  }

  Status remove() {
    // etcd names no cause for the former.
    if (is_root(request_.path()) && conditional()) return refused(node_error::kNotAFile, "");
    if (is_root(request_.path())) return refused(node_error::kRootIsReadOnly, "/");
    const auto before = look(state_, request_.path());
    if (!before.ok()) return before.status();
    if (!before->exists()) return not_found();
    const char* action = "delete";
    if (conditional()) {
      if (before->is_directory()) return refused(node_error::kNotAFile, request_.path());
      if (std::string cause = differs(*before); !cause.empty()) return refused(node_error::kCompareFailed, cause);
      action = "compareAndDelete";
    } else if (before->is_directory()) {
      if (!request_.dir() && !request_.recursive()) return refused(node_error::kNotAFile, request_.path());
      if (!request_.recursive()) {
        const Result<bool> below = anything_below(state_, request_.path());
        if (!below.ok()) return below.status();
        if (*below) return refused(node_error::kDirectoryNotEmpty, request_.path());
      }
    }
    describe(action, *before);
    if (before->is_file()) {
      KV_RETURN_IF_ERROR(state_.remove(path()));
      KV_RETURN_IF_ERROR(release(*before));
    } else {
      KV_RETURN_IF_ERROR(remove_tree(state_, path()));
      KV_RETURN_IF_ERROR(release(*before));
    }
    Node* node = response_->mutable_node();
    node->set_key(path());
    if (before->is_directory()) node->set_dir(true);
    node->set_created_index(before->created());
    node->set_modified_index(state_.next());
    return {};
  }

  // Empty when all that was asked for holds.
  std::string differs(const Place& before) const {
    std::string cause;
    if (!request_.prev_value().empty() && request_.prev_value() != before.file.value)
      cause = "[" + request_.prev_value() + " != " + before.file.value + "]";
    if (request_.prev_index() > 0 && request_.prev_index() != static_cast<uint64_t>(before.file.modified)) {
      if (!cause.empty()) cause += " ";
      cause += "[" + std::to_string(request_.prev_index()) + " != " + std::to_string(before.file.modified) + "]";
    }
    return cause;
  }

  const std::string& path() const { return path_.empty() ? request_.path() : path_; }

  NodeDirectory made_now() const {
    NodeDirectory directory;
    directory.set_created_index(state_.next());
    directory.set_modified_index(state_.next());
    return directory;
  }

  void describe(const char* action, const Place& before) {
    response_->set_action(action);
    if (before.exists()) fill(path(), before, response_->mutable_prev_node());
  }

  Status grant(const std::string& path) {
    if (request_.lease() == 0) return {};
    kvdpb::NodeLease node;
    node.set_path(path);
    node.set_expires_at_ms(request_.expires_at_ms());
    return state_.grant(request_.lease(), request_.ttl_s(), node);
  }

  Status release(const Place& before) {
    if (before.lease() == 0) return {};
    const auto ended = state_.release(before.lease(), path());
    if (!ended.ok()) return ended.status();
    if (!*ended) return {};
    response_->add_revoked_leases(before.lease());
    // Nobody counts its time any more.
    response_->mutable_prev_node()->set_expires_at_ms((*ended)->expires_at_ms());
    return {};
  }

  Status refused(int code, std::string cause) {
    refuse(code, std::move(cause), response_);
    return {};
  }

  // Or what is in the way.
  Status not_found() {
    KV_RETURN_IF_ERROR(walk(state_, request_.path(), true, response_, nullptr));
    if (response_->error_code() == 0) refuse(node_error::kKeyNotFound, request_.path(), response_);
    return {};
  }

  NodeWriter& state_;
  const NodeRequest& request_;
  NodeResponse* const response_;
  std::string path_;  // empty: the request's
};

}  // namespace

std::string below_begin(std::string_view directory) { return join(directory, ""); }

std::string below_end(std::string_view directory) {
  std::string end = below_begin(directory);
  ++end.back();  // '0' follows '/'
  return end;
}

Status read_node(NodeReader& state, const NodeRequest& request, NodeResponse* response) {
  const auto place = look(state, request.path());
  if (!place.ok()) return place.status();
  if (!place->exists()) {
    KV_RETURN_IF_ERROR(walk(state, request.path(), true, response, nullptr));
    if (response->error_code() == 0) refuse(node_error::kKeyNotFound, request.path(), response);
    return {};
  }
  response->set_action("get");
  fill(request.path(), *place, response->mutable_node());
  if (place->is_file()) return {};
  Listing listing(state, request.recursive());
  KV_RETURN_IF_ERROR(listing.of(request.path(), response->mutable_node()));
  if (listing.too_large()) {
    response->Clear();
    refuse(node_error::kInternal, "the listing is larger than " + std::to_string(kMaxListingBytes >> 20) + " MiB",
           response);
  }
  return {};
}

Status write_node(NodeWriter& state, const NodeRequest& request, NodeResponse* response) {
  return Writing(state, request, response).run();
}

Status remove_tree(NodeWriter& state, const std::string& path) {
  // Changing would pull the ground from under the scans.
  std::vector<std::string> files, directories;
  KV_RETURN_IF_ERROR(state.files(below_begin(path), below_end(path), [&files](std::string_view key, const NodeFile&) {
    files.emplace_back(key);
    return true;
  }));
  KV_RETURN_IF_ERROR(state.directories(below_begin(path), below_end(path),
                                       [&directories](const std::string& directory, const NodeDirectory&) {
                                         directories.push_back(directory);
                                         return true;
                                       }));
  for (const std::string& file : files) KV_RETURN_IF_ERROR(state.remove(file));
  for (const std::string& directory : directories) state.remove_directory(directory);
  state.remove_directory(path);
  return {};
}

}  // namespace kv::store
