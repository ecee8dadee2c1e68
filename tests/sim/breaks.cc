#include "breaks.h"

#include <array>

namespace kv::sim {
namespace {

constexpr std::array<std::string_view, static_cast<size_t>(Break::kCount)> kNames = {
    "none",
    "persisted-before-sync",
    "promise-before-sync",
    "apply-unpersisted",
    "lose-synced-vote",
    "lose-synced-term",
    "lose-synced-entry",
    "keep-overwritten-tail",
    "drop-hard-state",
    "compact-unflushed",
    "applied-index-apart",
    "snapshot-without-config",
    "stale-read",
    "read-unapplied",
    "read-twice",
    "lose-read",
    "ack-at-propose",
    "stop-persisted",
    "misdeliver",
    "propose-again-early",
    "put-differs",
    "forget-compaction",
    "wrong-answer",
    "revoke-in-two-revisions",
    "expiry-of-any-term",
    "unconfirmed-keep-alive",
    "ignore-noted-rest",
    "lead-from-checkpoint",
    "hasty-lessor",
    "lose-expiry",
    "forget-leases",
    "lose-event",
    "repeat-event",
    "split-revision",
    "progress-ahead",
    "hide-compaction",
    "cancel-at-compaction",
    "forget-previous",
};

}  // namespace

std::string_view name(Break broken) { return kNames[static_cast<size_t>(broken)]; }

std::optional<Break> break_by_name(std::string_view text) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == text) return static_cast<Break>(i);
  }
  return std::nullopt;
}

}  // namespace kv::sim
