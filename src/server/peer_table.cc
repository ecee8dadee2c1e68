#include "server/peer_table.h"

namespace kv::server {

void PeerTable::follow(uint64_t self, const std::vector<etcdserverpb::Member>& members,
                       const std::set<uint64_t>& removed, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  for (const etcdserverpb::Member& member : members) {
    if (member.id() == self || removed.contains(member.id())) continue;
    const std::vector<std::string> urls(member.peerurls().begin(), member.peerurls().end());
    const auto [known, is_new] = peers_.try_emplace(member.id());
    if (!is_new && known->second == urls) continue;
    known->second = urls;
    ports_.add({raft::NodeId(member.id()), urls});
  }
  for (const uint64_t id : removed) {
    if (id == self || refused_.contains(id) || leaving_.contains(id)) continue;
    leaving_[id] = first_ ? now_ms : now_ms + ports_.farewell_ms;
  }
  first_ = false;
}

void PeerTable::expire(int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  for (auto it = leaving_.begin(); it != leaving_.end();) {
    if (it->second > now_ms) {
      ++it;
      continue;
    }
    ports_.remove(raft::NodeId(it->first));
    peers_.erase(it->first);
    refused_.insert(it->first);
    it = leaving_.erase(it);
  }
}

}  // namespace kv::server
