#include "kvctl/importer.h"

#include <algorithm>
#include <utility>

#include "kvctl/go_format.h"

namespace kv::kvctl {
namespace {

constexpr int kAttempts = 20;  // at a batch whose keys somebody else is changing

}  // namespace

Status Importer::add(DumpEntry entry) {
  if (!entry.key.starts_with(options_.prefix_from)) {
    ++counts_.left_out;
    return {};
  }
  std::string key = options_.prefix_to + entry.key.substr(options_.prefix_from.size());
  if (key.empty()) return {Code::kInvalidArgument, "key " + go_quote(entry.key) + " would become the empty key"};
  // A transaction may change a key once.
  if (batch_.contains(key)) KV_RETURN_IF_ERROR(flush());
  batch_bytes_ += key.size() + entry.value.size();
  batch_.emplace(std::move(key), std::move(entry));
  return batch_.size() >= kBatchKeys || batch_bytes_ >= kBatchBytes ? flush() : Status();
}

Status Importer::flush() {
  bool again = !batch_.empty();
  for (int attempt = 0; again; ++attempt) {
    if (attempt == kAttempts) return {Code::kAborted, "somebody else goes on changing the keys that are imported"};
    KV_RETURN_IF_ERROR(write(again));
  }
  batch_.clear();
  batch_bytes_ = 0;
  return {};
}

Result<int64_t> Importer::lease_for(const DumpEntry& entry) {
  if (entry.lease == 0 || !options_.leases) return 0;
  if (const auto known = leases_.find(entry.lease); known != leases_.end()) return known->second;
  const auto granted = client_.lease_grant(std::max<int64_t>(entry.ttl_s, 1), 0, options_.call);
  if (!granted.ok()) return granted.status();
  return leases_[entry.lease] = granted->id;
}

// One batch: what is there is read, and what differs is put if it is still as it was read.
Status Importer::write(bool& changed_meanwhile) {
  using Existing = ImportOptions::Existing;
  changed_meanwhile = false;
  std::vector<client::Op> reads;
  for (const auto& [key, entry] : batch_) reads.push_back(client::get_op(key));
  const auto read = client_.commit(client::Txn().then(std::move(reads)), options_.call);
  if (!read.ok()) return read.status();

  ImportCounts counts = counts_;
  std::vector<client::Compare> compares;
  std::vector<client::Op> puts;
  size_t at = 0;
  for (const auto& [key, entry] : batch_) {
    const auto* got = std::get_if<client::GetResponse>(&read->responses[at++].answer);
    const client::KeyValue* there = got == nullptr || got->kvs.empty() ? nullptr : &got->kvs[0];
    if (there == nullptr) {
      ++counts.created;
    } else if (there->value == entry.value && (there->lease != 0 || entry.lease == 0 || !options_.leases)) {
      ++counts.unchanged;
      continue;
    } else if (there->value == entry.value || options_.existing == Existing::kOverwrite) {
      ++counts.overwritten;
    } else if (options_.existing == Existing::kSkip) {
      ++counts.skipped;
      continue;
    } else if (options_.dry_run) {
      if (counts.refused++ == 0) counts.refused_key = key;
      continue;
    } else {
      return {Code::kAlreadyExists, "key " + go_quote(key) + " is there with another value"};
    }
    if (entry.lease != 0 && !options_.leases) ++counts.lease_dropped;
    if (options_.dry_run) continue;
    const auto lease = lease_for(entry);
    if (!lease.ok()) return lease.status();
    compares.push_back(
        client::compare_mod_revision(key, client::Comparison::kEqual, there == nullptr ? 0 : there->mod_revision));
    puts.push_back(client::put_op(key, entry.value, {.lease = *lease}));
  }
  if (!puts.empty()) {
    const auto done = client_.commit(client::Txn().when(std::move(compares)).then(std::move(puts)), options_.call);
    if (!done.ok()) return done.status();
    changed_meanwhile = !done->succeeded;
  }
  if (!changed_meanwhile) counts_ = std::move(counts);
  return {};
}

}  // namespace kv::kvctl
