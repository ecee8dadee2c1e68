// What the members' stores must hold and answer: what a page of plain code makes of the committed commands
// (tests/store/model.h). And what their watchers must see: the changes that these made, in order.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "etcdserverpb/rpc.pb.h"
#include "kvdpb/command.pb.h"
#include "raft/types.h"
#include "server/applier.h"
#include "sim/checker.h"
#include "sim/store/lease_checker.h"
#include "store/model.h"
#include "store/store.h"

namespace kv::sim {

// For people.
std::string quoted(const std::string& bytes);

class StoreChecker {
 public:
  StoreChecker(Checker* checker, LeaseChecker* leases) : checker_(checker), leases_(leases) {}

  // The next entry that some member applies, with the configuration after it when it changes that. Only the first member
  // to come to an index adds to what is known.
  void committed(const raft::Entry& entry, const std::optional<raft::Configuration>& configuration);

  // A member has answered its client's call.
  void answered(uint64_t origin, uint64_t call, const Status& status, const google::protobuf::Message* response);
  // Where the lease was granted that this call asked for.
  std::optional<LeasePlace> granted_by(uint64_t origin, uint64_t call) const;
  // The member's store against the model, as of the store's applied index.
  void check_contents(raft::NodeId node, const store::Store& store);

  struct Change {
    int64_t main = 0;
    bool tombstone = false;
    mvccpb::KeyValue kv;
    std::optional<mvccpb::KeyValue> prev;  // the key at the revision before
  };
  // All that ever was, by revision.
  const std::vector<Change>& changes() const { return changes_; }
  // The first of a main revision of at least `revision`.
  size_t changes_from(int64_t revision) const;

  int64_t revision() const { return model_.revision(); }
  int64_t compact_revision() const { return model_.compact_revision(); }
  size_t leases() const { return model_.leases().size(); }

  // The group's log begins after this.
  void set_origin(raft::Index origin) { origin_ = origin; }
  // All committed entries up to `upto`: what a state is made of.
  std::vector<server::CommittedEntry> log(raft::Index upto) const;

  uint64_t answers_compared() const { return answers_compared_; }
  void fail(std::string invariant, std::string text) { checker_->fail(std::move(invariant), std::move(text)); }

 private:
  struct Answer {
    Status status;
    std::unique_ptr<google::protobuf::Message> response;
    LeasePlace place;
    int64_t lease = 0;  // that it granted
  };
  struct Mark {
    int64_t revision = 0;
    int64_t compact_revision = 0;
    uint64_t leases = 0;
  };

  void apply(const kvdpb::Command& command, raft::Term term, LeasePlace place);
  template <typename Response, typename Apply>
  void apply_call(const kvdpb::Command& command, LeasePlace place, Apply apply);
  void collect_changes(int64_t since);

  Checker* checker_;
  LeaseChecker* leases_;
  raft::Index origin_;
  store::Model model_;
  std::map<int64_t, uint64_t> grants_;  // which of all grants was the last of each lease's id
  uint64_t grants_made_ = 0;
  std::vector<server::CommittedEntry> log_;
  std::vector<Mark> marks_;  // after each entry of log_
  std::vector<Change> changes_;
  std::map<std::pair<uint64_t, uint64_t>, Answer> answers_;
  uint64_t answers_compared_ = 0;
};

}  // namespace kv::sim
