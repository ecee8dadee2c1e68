// What the clients saw: when each call began and ended, and with what. Judged in two ways: call by call while the
// run goes on (an acknowledged write is in the log, a refused one is not, none is there twice, each read is
// answered once and not with an old index), and at the end as a whole: the reads and writes of each key must
// have some order that a single register could have had (linearizability).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checker.h"
#include "raft/types.h"

namespace kv::sim {

// One call on one register, in a time that only orders. Written values are unique and not 0; 0 is the initial value.
struct RegisterCall {
  static constexpr uint64_t kNever = UINT64_MAX;

  bool is_write = false;
  uint64_t value = 0;
  uint64_t begin = 0;
  uint64_t end = kNever;  // never: the outcome is unknown; only writes are kept then
};

// nullopt when the calls are linearizable, otherwise why not. Gibbons and Korach, "Testing shared memories"
// (1997): with unique values each read names its write, and then sorting decides.
std::optional<std::string> why_not_linearizable(const std::vector<RegisterCall>& calls);

class History {
 public:
  explicit History(Checker* checker) : checker_(checker) {}

  uint64_t begin_write(raft::NodeId node, uint32_t key);  // the new call's id, which is also the written value
  void refused(uint64_t id);                              // the core said no: it must never be committed
  void write_committed(uint64_t id, raft::Index index);   // as applied by the first member
  void acknowledged(uint64_t id, raft::Index index);      // the client was told that it is done

  uint64_t begin_read(raft::NodeId node, uint32_t key);
  void read_indexed(uint64_t id, raft::Index index);  // the core's answer; index 0: refused
  void read_done(uint64_t id, uint64_t value);
  void node_crashed(raft::NodeId node);  // its calls will not be answered

  std::optional<raft::Index> acknowledged_at(uint64_t id) const;

  // Every acknowledged write is in the log where it was acknowledged, and the registers are linearizable.
  void judge();

  size_t reads_waiting() const { return waiting_reads_.size(); }
  std::string describe_waiting_read() const;
  uint64_t writes_acknowledged() const { return writes_acknowledged_; }
  uint64_t reads_answered() const { return reads_answered_; }
  uint64_t reads_refused() const { return reads_refused_; }

 private:
  enum class Outcome : uint8_t { kUnknown, kOk, kRefused };
  struct Call {
    raft::NodeId node;
    uint32_t key = 0;
    RegisterCall call;
    Outcome outcome = Outcome::kUnknown;
    raft::Index least_index;  // of a read: what was committed when it began
    raft::Index index;        // of a write: where it was committed; of a read: the core's answer
    raft::Index acknowledged_index;
  };

  Checker* checker_;
  uint64_t clock_ = 0;
  std::map<uint64_t, Call> calls_;
  std::map<uint64_t, raft::NodeId> waiting_reads_;  // asked of the core, not answered by it
  uint64_t next_id_ = 1;
  uint64_t writes_acknowledged_ = 0;
  uint64_t reads_answered_ = 0;
  uint64_t reads_refused_ = 0;
};

}  // namespace kv::sim
