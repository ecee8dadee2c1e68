// The key space as a tree of files and directories: the rules of etcd 2's keys API over MVCC keys (docs/rest.md).
//
// The file /a/b is the key "/a/b". A directory is what has keys below it, or what was made: by itself, or as the parent
// of a key; that one stays when it is emptied. Where a key is both, the file is what its path names. Keys that no clean
// path names ("a", "/a//b", "/a/") are no nodes: nobody sees them here, but they go when the directory above them goes.
#pragma once

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "kvdpb/command.pb.h"

namespace kv::store {

// etcd 2's error codes.
namespace node_error {
inline constexpr int kKeyNotFound = 100;
inline constexpr int kCompareFailed = 101;
inline constexpr int kNotAFile = 102;
inline constexpr int kNotADirectory = 104;
inline constexpr int kKeyExists = 105;
inline constexpr int kRootIsReadOnly = 107;
inline constexpr int kDirectoryNotEmpty = 108;
inline constexpr int kInternal = 300;
}  // namespace node_error

struct NodeFile {
  std::string value;
  int64_t created = 0;  // revisions
  int64_t modified = 0;
  int64_t lease = 0;
};

// What the rules look at. Errors are of the disk and never about what was asked.
class NodeReader {
 public:
  virtual ~NodeReader() = default;

  virtual Result<std::optional<NodeFile>> file(const std::string& path) = 0;
  // The keys in [begin, end) by their order, until `visit` answers false.
  using VisitFile = absl::FunctionRef<bool(std::string_view key, const NodeFile& file)>;
  virtual Status files(const std::string& begin, const std::string& end, VisitFile visit) = 0;

  // Of directories that were made.
  virtual Result<std::optional<kvdpb::NodeDirectory>> directory(const std::string& path) = 0;
  using VisitDirectory = absl::FunctionRef<bool(const std::string& path, const kvdpb::NodeDirectory& directory)>;
  virtual Status directories(const std::string& begin, const std::string& end, VisitDirectory visit) = 0;
};

// ... and what they change, all at the index next(). Nothing is changed before everything has been looked at.
class NodeWriter : public NodeReader {
 public:
  virtual int64_t next() const = 0;
  // Answers the file's created index.
  virtual Result<int64_t> put(const std::string& path, const std::string& value, int64_t lease) = 0;
  virtual Status remove(const std::string& path) = 0;
  virtual void put_directory(const std::string& path, const kvdpb::NodeDirectory& directory) = 0;
  virtual void remove_directory(const std::string& path) = 0;
  // A lease for one node.
  virtual Status grant(int64_t lease, int64_t ttl_s, const kvdpb::NodeLease& node) = 0;
  // Ends `lease` if it was granted for this node and nothing hangs on it any more. When it did, says what it was.
  virtual Result<std::optional<kvdpb::NodeLease>> release(int64_t lease, const std::string& path) = 0;
};

// Names in a path, at most: each write looks at all directories above. What came deeper by another door is in no
// listing.
inline constexpr size_t kMaxNodeDepth = 48;

// A listing of more is refused (300): the answer is one piece, and made in memory.
inline constexpr size_t kMaxListingBytes = 64 << 20;

// GET.
Status read_node(NodeReader& state, const kvdpb::NodeRequest& request, kvdpb::NodeResponse* response);
// PUT, POST and DELETE. An answer with an error code has changed nothing.
Status write_node(NodeWriter& state, const kvdpb::NodeRequest& request, kvdpb::NodeResponse* response);
// The directory's lease has ended: it goes, with all that is below.
Status remove_tree(NodeWriter& state, const std::string& path);

// [begin, end) of the keys below a directory.
std::string below_begin(std::string_view directory);
std::string below_end(std::string_view directory);

}  // namespace kv::store
