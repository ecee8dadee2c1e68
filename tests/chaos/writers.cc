#include "chaos/writers.h"

#include <algorithm>

#include "base/check.h"
#include "base/random.h"

namespace kv::chaos {
namespace {

namespace pb = etcdserverpb;

constexpr milliseconds kReadTimeout{20000};
constexpr milliseconds kPoll{2};
constexpr size_t kComplaintsMax = 5;

}  // namespace

std::string key_name(uint32_t key) { return "chaos/" + std::to_string(key); }

std::string value_of(uint32_t key, int64_t sequence, size_t bytes) {
  std::string value = std::to_string(key) + "/" + std::to_string(sequence) + "/";
  while (value.size() < bytes) value += static_cast<char>('a' + (value.size() + static_cast<size_t>(sequence)) % 26);
  return value;
}

Writers::Writers(harness::Cluster& cluster, WriterOptions options)
    : cluster_(cluster), options_(options), attempts_(static_cast<size_t>(options.threads) * options.keys_per_thread) {}

Writers::~Writers() { stop(); }

void Writers::start() {
  KV_CHECK(threads_.empty(), "the writers run already");
  stopping_ = false;
  for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this, i] { write(i); });
}

void Writers::stop() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

int Writers::member(uint64_t turn) const {
  const std::vector<int>& members = options_.members;
  return members.empty() ? static_cast<int>(turn % static_cast<uint64_t>(cluster_.size()))
                         : members[turn % members.size()];
}

void Writers::write(int thread) {
  int member = this->member(static_cast<uint64_t>(thread));
  std::vector<std::unique_ptr<harness::Client>> clients;
  for (int i = 0; i < cluster_.size(); ++i) clients.push_back(cluster_.connect(i));
  const auto first = static_cast<uint32_t>(thread) * options_.keys_per_thread;
  // Without chance here all writers would give up and go on in step, and a gap be seen in steps too.
  Random random(static_cast<uint64_t>(thread));
  for (uint32_t turn = 0; !stopping_; ++turn) {
    const uint32_t key = first + turn % options_.keys_per_thread;
    const int64_t sequence = ++attempts_[key];
    pb::PutRequest request;
    request.set_key(key_name(key));
    request.set_value(value_of(key, sequence, options_.value_bytes));
    pb::PutResponse response;
    const auto half = static_cast<uint64_t>(options_.timeout.count()) / 2;
    const milliseconds patience(half + random.below(half));
    const auto started = Clock::now();
    const grpc::Status status =
        clients[static_cast<size_t>(member)]->kv->Put(harness::within(patience).get(), request, &response);
    const auto ended = Clock::now();
    const std::lock_guard lock(mutex_);
    if (status.ok()) {
      acks_.push_back({key, sequence, response.header().revision(), started, ended});
      ++acknowledged_;
    } else {
      ++refusals_[std::to_string(status.error_code()) + " " + status.error_message()];
      member = this->member(random.next());
    }
  }
}

std::vector<Ack> Writers::take_acks() {
  const std::lock_guard lock(mutex_);
  return std::exchange(acks_, {});
}

std::optional<milliseconds> Writers::gap_since(Clock::time_point since, milliseconds timeout) {
  size_t seen = 0;
  while (Clock::now() < since + timeout) {
    {
      const std::lock_guard lock(mutex_);
      for (; seen < acks_.size(); ++seen) {
        if (acks_[seen].started >= since) {
          return std::chrono::duration_cast<milliseconds>(acks_[seen].ended - since);
        }
      }
    }
    std::this_thread::sleep_for(kPoll);
  }
  return std::nullopt;
}

bool Writers::wait_acknowledged(uint64_t more, milliseconds timeout) {
  const uint64_t want = acknowledged_ + more;
  const auto deadline = Clock::now() + timeout;
  while (acknowledged_ < want) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

std::string check_acks(harness::Client& client, const std::vector<Ack>& acks, size_t value_bytes, bool serializable) {
  std::string wrong;
  size_t complaints = 0;
  for (const Ack& ack : acks) {
    pb::RangeRequest request;
    request.set_key(key_name(ack.key));
    request.set_revision(ack.mod_revision);
    request.set_serializable(serializable);
    pb::RangeResponse response;
    const grpc::Status status = client.kv->Range(harness::within(kReadTimeout).get(), request, &response);
    std::string found;
    if (!status.ok()) {
      found = "code " + std::to_string(status.error_code()) + ": " + status.error_message();
    } else if (response.kvs_size() != 1) {
      found = "no such key";
    } else if (response.kvs(0).mod_revision() != ack.mod_revision) {
      found = "the key as of revision " + std::to_string(response.kvs(0).mod_revision());
    } else if (response.kvs(0).value() != value_of(ack.key, ack.sequence, value_bytes)) {
      found = "another value: " + response.kvs(0).value().substr(0, 40);
    } else {
      continue;
    }
    if (++complaints > kComplaintsMax) return wrong + "... and more\n";
    wrong += "write " + std::to_string(ack.sequence) + " to " + key_name(ack.key) + " was acknowledged at revision " +
             std::to_string(ack.mod_revision) + ", and read back is " + found + "\n";
  }
  return wrong;
}

std::string check_keys(harness::Client& client, const Writers& writers, const std::vector<Ack>& all) {
  std::map<uint32_t, std::pair<int64_t, int64_t>> last;  // key -> highest acknowledged revision, number of them
  for (const Ack& ack : all) {
    auto& [revision, count] = last[ack.key];
    revision = std::max(revision, ack.mod_revision);
    ++count;
  }
  std::string wrong;
  for (const auto& [key, acked] : last) {
    pb::RangeRequest request;
    request.set_key(key_name(key));
    pb::RangeResponse response;
    const grpc::Status status = client.kv->Range(harness::within(kReadTimeout).get(), request, &response);
    if (!status.ok()) return "code " + std::to_string(status.error_code()) + ": " + status.error_message() + "\n";
    if (response.kvs_size() != 1 || response.kvs(0).mod_revision() < acked.first) {
      wrong +=
          key_name(key) + " is older than its write that was acknowledged at " + std::to_string(acked.first) + "\n";
    } else if (response.kvs(0).version() < acked.second || response.kvs(0).version() > writers.attempts(key)) {
      wrong += key_name(key) + " was written " + std::to_string(response.kvs(0).version()) + " times; " +
               std::to_string(acked.second) + " were acknowledged of " + std::to_string(writers.attempts(key)) +
               " sent\n";
    }
  }
  return wrong;
}

}  // namespace kv::chaos
