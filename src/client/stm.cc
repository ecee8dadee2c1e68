#include "client/stm.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "base/random.h"
#include "client/queue.h"

namespace kv::client {
namespace {

using std::chrono::milliseconds;

// So often is a commit sent again that wasn't answered.
constexpr int kResends = 5;
// Who has lost against others waits, so that of many one gets through: up to so long times its losses.
constexpr uint64_t kPauseMs = 5;
constexpr int kPauseGrowth = 10;

bool is_compacted(const Status& status) {
  return status.text() == "etcdserver: mvcc: required revision has been compacted";
}
bool is_future(const Status& status) {
  return status.text() == "etcdserver: mvcc: required revision is a future revision";
}

std::optional<KeyValue> first_of(GetResponse&& response) {
  if (response.kvs.empty()) return std::nullopt;
  return std::move(response.kvs.front());
}

}  // namespace

Result<const Stm::Found*> Stm::read(std::string_view key) {
  if (!failed_.ok()) return failed_;
  if (const auto at = reads_.find(key); at != reads_.end()) return &at->second;
  if (const auto at = known_.find(key); at != known_.end()) {
    return &reads_.insert(known_.extract(at)).position->second;
  }
  // The first read is linearizable and says which state this run sees. What a member has of that state is the same
  // everywhere, so the others need not ask the leader, unless they meet a member that isn't there yet.
  auto got = client_.get(key, {.revision = revision_, .serializable = revision_ != 0}, call_);
  if (!got.ok() && is_future(got.status())) got = client_.get(key, {.revision = revision_}, call_);
  if (!got.ok()) {
    outdated_ = revision_ != 0 && is_compacted(got.status());
    failed_ = got.status();
    return failed_;
  }
  if (revision_ == 0) revision_ = got->header.revision;
  return &reads_.emplace(std::string(key), first_of(*std::move(got))).first->second;
}

Result<std::optional<std::string>> Stm::get(std::string_view key) {
  if (const auto at = writes_.find(key); at != writes_.end()) return at->second.value;
  const auto found = read(key);
  if (!found.ok()) return found.status();
  const Found& kv = **found;
  return kv ? std::optional(kv->value) : std::nullopt;
}

Result<int64_t> Stm::mod_revision(std::string_view key) {
  const auto found = read(key);
  if (!found.ok()) return found.status();
  const Found& kv = **found;
  return kv ? kv->mod_revision : 0;
}

void Stm::put(std::string_view key, std::string_view value, int64_t lease) {
  writes_.insert_or_assign(std::string(key), Write{std::string(value), lease});
}

void Stm::remove(std::string_view key) { writes_.insert_or_assign(std::string(key), Write{}); }

// The runs of one transact().
class StmRunner {
 public:
  StmRunner(Client& client, const StmOptions& options) : stm_(client), options_(options) {}

  Result<StmResponse> run(const std::function<Status(Stm&)>& body) {
    for (StmResponse response;;) {
      // One look at the clock and the stop before each run, and a pause behind those that were lost to others.
      if (Status s = pause(response.runs); !s.ok()) return s;
      stm_.call_ = call_within(options_.wait);
      if (stm_.revision_ == 0) {
        if (Status s = prefetch(); !s.ok()) return s;
      }
      ++response.runs;
      const Status said = body(stm_);
      if (stm_.outdated_) {
        forget();
        stm_.revision_ = 0;
        continue;
      }
      if (!stm_.failed_.ok()) return stm_.failed_;
      if (!said.ok()) return said;
      const auto done = commit(response.header);
      if (!done.ok()) return done.status();
      if (*done) return response;
    }
  }

 private:
  void forget() {
    stm_.known_.clear();
    stm_.reads_.clear();
    stm_.writes_.clear();
    stm_.failed_ = {};
    stm_.outdated_ = false;
  }

  Status pause(int runs) {
    if (runs <= 1) return pause_within(options_.wait, milliseconds(0));
    const uint64_t longest = kPauseMs * static_cast<uint64_t>(std::min(runs - 1, kPauseGrowth));
    return pause_within(options_.wait, milliseconds(random_.below(longest + 1)));
  }

  Status prefetch() {
    if (options_.prefetch.empty()) return {};
    std::vector<Op> gets;
    for (const std::string& key : options_.prefetch) gets.push_back(get_op(key));
    auto got = stm_.client_.commit(Txn().then(std::move(gets)), stm_.call_);
    if (!got.ok()) return got.status();
    stm_.revision_ = got->header.revision;
    for (size_t i = 0; i < options_.prefetch.size(); ++i) take(stm_.reads_, options_.prefetch[i], got->responses, i);
    return {};
  }

  static void take(std::map<std::string, Stm::Found, std::less<>>& to, const std::string& key,
                   std::vector<OpResponse>& responses, size_t at) {
    auto* got = at < responses.size() ? std::get_if<GetResponse>(&responses[at].answer) : nullptr;
    if (got != nullptr) to.insert_or_assign(key, first_of(std::move(*got)));
  }

  Txn transaction() const {
    std::vector<Compare> unchanged;
    std::vector<Op> again;
    for (const auto& [key, found] : stm_.reads_) {
      unchanged.push_back(compare_mod_revision(key, Comparison::kEqual, found ? found->mod_revision : 0));
      again.push_back(get_op(key));
    }
    std::vector<Op> writes;
    for (const auto& [key, write] : stm_.writes_) {
      if (stm_.revision_ != 0 && !stm_.reads_.contains(key)) {
        unchanged.push_back(compare_mod_revision(key, Comparison::kLess, stm_.revision_ + 1));
      }
      writes.push_back(write.value ? put_op(key, *write.value, {.lease = write.lease}) : remove_op(key));
    }
    return std::move(Txn().when(std::move(unchanged)).then(std::move(writes)).otherwise(std::move(again)));
  }

  // True when it is done, false when others were faster: the next run then begins with what they made of it.
  Result<bool> commit(ResponseHeader& header) {
    if (stm_.writes_.empty()) {
      // All that was read is of one state, which was the newest after transact() was called: nothing to compare.
      header.revision = stm_.revision_;
      return true;
    }
    const Txn txn = transaction();
    std::optional<Status> unknown;  // what became of an earlier one
    for (int sent = 0;; ++sent) {
      auto done = stm_.client_.commit(txn, call_within(options_.wait));
      if (done.ok() && done->succeeded) {
        header = done->header;
        return true;
      }
      if (done.ok()) {
        // By what the earlier one did, perhaps.
        if (unknown) return *unknown;
        begin_again(*std::move(done));
        return false;
      }
      if (!unknown && worth_repeating(done.status())) unknown = done.status();
      // Every key that is written is compared with what was read. So of two of the same at most one does anything.
      const bool safe = stm_.revision_ != 0;
      if (!safe || !worth_repeating(done.status()) || sent == kResends || !pause_within(options_.wait).ok()) {
        return unknown ? *unknown : done.status();
      }
    }
  }

  void begin_again(TxnResponse&& state) {
    std::vector<std::string> keys;
    for (const auto& [key, found] : stm_.reads_) keys.push_back(key);
    forget();
    stm_.revision_ = keys.empty() ? 0 : state.header.revision;
    for (size_t i = 0; i < keys.size(); ++i) take(stm_.known_, keys[i], state.responses, i);
    // Those are asked for by transact()'s caller, not by the body.
    for (const std::string& key : options_.prefetch) {
      if (const auto at = stm_.known_.find(key); at != stm_.known_.end()) stm_.reads_.insert(stm_.known_.extract(at));
    }
  }

  Stm stm_;
  const StmOptions& options_;
  Random random_{std::random_device()()};
};

Result<StmResponse> transact(Client& client, const std::function<Status(Stm&)>& body, const StmOptions& options) {
  return StmRunner(client, options).run(body);
}

}  // namespace kv::client
