#include "server/reconfiguration.h"

#include <algorithm>

#include "server/errors.h"
#include "server/identity.h"

namespace kv::server {
namespace {

using etcdserverpb::Member;

// etcd's: a learner whose log agrees with so much of the leader's is in sync.
constexpr double kReadyFraction = 0.9;

size_t quorum(size_t voters) { return voters / 2 + 1; }

// etcd takes a member for started once it has told its name.
bool started(const Member& member) { return !member.name().empty(); }

std::vector<const Member*> voters_of(const ClusterView& view) {
  std::vector<const Member*> voters;
  for (const Member& member : view.members)
    if (!member.islearner()) voters.push_back(&member);
  return voters;
}

bool reachable(const ClusterView& view, uint64_t id) { return id == view.self || view.reachable.contains(id); }

template <typename Which>
size_t count(const std::vector<const Member*>& members, Which which) {
  return static_cast<size_t>(std::count_if(members.begin(), members.end(), [&](const Member* m) { return which(*m); }));
}

// Of the members other than `except`, does any have one of these URLs?
bool urls_taken(const ClusterView& view, const std::vector<std::string>& urls, uint64_t except) {
  return std::any_of(view.members.begin(), view.members.end(), [&](const Member& member) {
    return member.id() != except &&
           std::any_of(member.peerurls().begin(), member.peerurls().end(),
                       [&](const auto& url) { return std::find(urls.begin(), urls.end(), url) != urls.end(); });
  });
}

Status may_add(const ClusterView& view, bool learner) {
  const auto voters = voters_of(view);
  const size_t up = count(voters, started);
  const bool first_growth = up == 1 && voters.size() == 1;
  if (!learner && !first_growth && up < quorum(voters.size() + 1)) return errors::not_enough_started();
  // The new one is not there yet. A learner does not change the quorum, but etcd asks the same of the others for it.
  const size_t here = count(voters, [&](const Member& m) { return reachable(view, m.id()); });
  if (voters.size() > 1 && here < quorum(voters.size() + 1)) return errors::unhealthy();
  return {};
}

Status may_remove(const ClusterView& view, uint64_t id) {
  const Member* const leaves = view.find(id);
  if (leaves != nullptr && leaves->islearner()) return {};
  auto stay = voters_of(view);
  std::erase_if(stay, [&](const Member* m) { return m->id() == id; });
  if (count(stay, started) < quorum(stay.size())) return errors::not_enough_started();
  // Whoever is away is missed by no quorum, and needs no rule of its own (etcd has one): those who are there suffice.
  const size_t here = count(stay, [&](const Member& m) { return reachable(view, m.id()); });
  return here < quorum(stay.size()) ? errors::unhealthy() : Status();
}

Status may_promote(const ClusterView& view, uint64_t id) {
  const auto voters = voters_of(view);
  if (count(voters, started) + 1 < quorum(voters.size() + 1)) return errors::not_enough_started();
  const size_t here = count(voters, [&](const Member& m) { return reachable(view, m.id()); });
  if (here + (reachable(view, id) ? 1 : 0) < quorum(voters.size() + 1)) return errors::unhealthy();
  return {};
}

}  // namespace

const Member* ClusterView::find(uint64_t id) const {
  const auto found = std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.id() == id; });
  return found == members.end() ? nullptr : &*found;
}

Status check_peer_urls(const std::vector<std::string>& urls) {
  const auto sound = [](const std::string& url) { return parse_url(url).ok() && url.back() != '/'; };
  if (urls.empty() || !std::all_of(urls.begin(), urls.end(), sound)) return errors::bad_member_urls();
  return {};
}

Status check_add(const ClusterView& view, const ReconfigurationRules& rules,
                 const etcdserverpb::MemberAddRequest& request) {
  if (rules.strict) KV_RETURN_IF_ERROR(may_add(view, request.islearner()));
  if (urls_taken(view, {request.peerurls().begin(), request.peerurls().end()}, 0)) return errors::peer_urls_exist();
  const size_t learners = view.members.size() - voters_of(view).size();
  if (request.islearner() && learners >= rules.max_learners) return errors::too_many_learners();
  return {};
}

Status check_remove(const ClusterView& view, const ReconfigurationRules& rules, uint64_t id) {
  if (rules.strict) KV_RETURN_IF_ERROR(may_remove(view, id));
  if (view.find(id) == nullptr) return errors::member_not_found();
  return {};
}

Status check_promote(const ClusterView& view, const ReconfigurationRules& rules, uint64_t id) {
  const Member* const member = view.find(id);
  if (member == nullptr) return errors::member_not_found();
  if (id != view.self) {
    const auto found = view.match.find(id);
    const auto match = static_cast<double>(found == view.match.end() ? 0 : found->second);
    if (match < kReadyFraction * static_cast<double>(view.last_index)) return errors::learner_not_ready();
  }
  if (rules.strict) KV_RETURN_IF_ERROR(may_promote(view, id));
  if (!member->islearner()) return errors::member_not_learner();
  return {};
}

Status check_update(const ClusterView& view, uint64_t id, const std::vector<std::string>& peer_urls) {
  if (view.find(id) == nullptr) return errors::member_not_found();
  if (urls_taken(view, peer_urls, id)) return errors::peer_urls_exist();
  return {};
}

uint64_t new_member_id(const ClusterView& view, const std::vector<std::string>& peer_urls, int64_t unix_s) {
  while (true) {
    const uint64_t id = member_id(peer_urls, std::to_string(unix_s++));
    if (view.find(id) == nullptr && !view.removed.contains(id)) return id;
  }
}

}  // namespace kv::server
