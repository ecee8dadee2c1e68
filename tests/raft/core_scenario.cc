#include "raft/core_scenario.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <sstream>
#include <stdexcept>

namespace kv::raft::test {

namespace {

// Thrown at a command that can't be understood; caught in rerun().
struct BadCommand : std::runtime_error {
  using std::runtime_error::runtime_error;
};

uint64_t number(const std::string& word) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) throw BadCommand("not a number: " + word);
  return value;
}

NodeId node_id(const std::string& word) { return NodeId(number(word)); }

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::vector<NodeId> node_ids(const std::string& list) {
  std::vector<NodeId> ids;
  for (const std::string& word : split(list, ',')) ids.push_back(node_id(word));
  return ids;
}

std::pair<NodeId, NodeId> link(const std::string& word) {
  const size_t arrow = word.find("->");
  if (arrow == std::string::npos) throw BadCommand("not a link: " + word);
  return {node_id(word.substr(0, arrow)), node_id(word.substr(arrow + 2))};
}

const std::string& word_at(const std::vector<std::string>& words, size_t i) {
  if (i >= words.size()) throw BadCommand("words are missing");
  return words[i];
}

size_t count_at(const std::vector<std::string>& words, size_t i, size_t otherwise) {
  return i < words.size() ? number(words[i]) : otherwise;
}

using Settings = std::map<std::string, std::string>;

Settings settings(const std::vector<std::string>& words, size_t from) {
  Settings out;
  for (size_t i = from; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    if (equals == std::string::npos) throw BadCommand("not name=value: " + words[i]);
    out[words[i].substr(0, equals)] = words[i].substr(equals + 1);
  }
  return out;
}

// Takes the options of Core out of `from`; what is left is the command's own.
void set_options(CoreOptions& options, Settings& from) {
  const auto take = [&](const char* name, const std::function<void(const std::string&)>& set) {
    const auto found = from.find(name);
    if (found == from.end()) return;
    set(found->second);
    from.erase(found);
  };
  const auto flag = [&](const char* name, bool& to) { take(name, [&](const std::string& v) { to = v == "on"; }); };
  const auto size = [&](const char* name, auto& to) {
    take(name, [&](const std::string& v) { to = static_cast<std::remove_reference_t<decltype(to)>>(number(v)); });
  };
  flag("pre-vote", options.pre_vote);
  flag("check-quorum", options.check_quorum);
  size("election-ticks", options.election_ticks);
  size("heartbeat-ticks", options.heartbeat_ticks);
  size("max-append-bytes", options.max_append_bytes);
  size("max-inflight", options.max_inflight_appends);
  size("max-inflight-bytes", options.max_inflight_bytes);
  size("max-uncommitted-bytes", options.max_uncommitted_bytes);
  size("max-committed-bytes", options.max_committed_bytes);
  size("max-cached-bytes", options.max_cached_bytes);
  size("max-reads", options.max_pending_reads);
}

void none_left(const Settings& left) {
  if (!left.empty()) throw BadCommand("unknown setting: " + left.begin()->first);
}

std::string take(Settings& from, const char* name, const std::string& otherwise = "") {
  const auto found = from.find(name);
  if (found == from.end()) return otherwise;
  std::string value = found->second;
  from.erase(found);
  return value;
}

}  // namespace

Scenario::Scenario() : cluster_([this](const std::string& line) { say(line); }) {}

std::string Scenario::rerun(const std::string& text) {
  Scenario scenario;
  std::istringstream in(text);
  std::string result;
  std::vector<std::string> commands;
  bool skipping = false;  // what was expected before
  for (std::string line; std::getline(in, line);) {
    if (skipping) {
      if (!line.empty()) continue;
      skipping = false;
      result += "\n";
    } else if (line == "----") {
      scenario.out_.clear();
      for (const std::string& command : commands) {
        try {
          scenario.run(command);
        } catch (const BadCommand& bad) {
          scenario.silent_ = false;
          scenario.say("error: " + command + ": " + bad.what());
        }
      }
      commands.clear();
      result += "----\n" + (scenario.out_.empty() ? "ok\n" : scenario.out_);
      skipping = true;
    } else {
      if (!line.empty() && line[0] != '#') commands.push_back(line);
      result += line + "\n";
    }
  }
  if (!commands.empty()) result += "error: commands without ----\n";
  return result;
}

void Scenario::run(const std::string& line) {
  Words words;
  std::istringstream in(line);
  for (std::string word; in >> word;) words.push_back(word);
  run(words);
}

Node& Scenario::live(NodeId id) {
  if (!cluster_.running(id)) throw BadCommand("node " + to_string(id) + " does not run");
  return cluster_.node(id);
}

void Scenario::take_all(NodeId id) {
  while (cluster_.ready(id)) {
  }
}

void Scenario::run(const Words& words) {
  const std::string& verb = word_at(words, 0);
  if (verb == "silently") {
    silent_ = true;
    run(Words(words.begin() + 1, words.end()));
    silent_ = false;
    return;
  }
  if (verb == "add-nodes") return add_nodes(words);
  if (verb == "add-node") return add_node(words);
  if (verb == "deliver" || verb == "drop") return deliver(words);
  if (verb == "copy" || verb == "paste") {
    const auto [from, to] = link(word_at(words, 1));
    std::deque<Message>& waiting = cluster_.queue(from, to);
    if (verb == "copy") {
      if (waiting.empty()) throw BadCommand("nothing to copy");
      copies_.push_back(waiting.back());
      return;
    }
    const auto mine = std::stable_partition(copies_.begin(), copies_.end(),
                                            [&](const Message& m) { return m.from != from || m.to != to; });
    waiting.insert(waiting.end(), mine, copies_.end());
    copies_.erase(mine, copies_.end());
    return;
  }
  if (verb == "partition") return partition(words);
  if (verb == "heal") return cluster_.heal();
  if (verb == "cut") {
    const auto [from, to] = link(word_at(words, 1));
    return cluster_.cut(from, to);
  }
  if (verb == "stabilize") {
    std::vector<NodeId> only;
    for (size_t i = 1; i < words.size(); ++i) only.push_back(node_id(words[i]));
    if (!cluster_.stabilize(only)) say("error: this does not come to rest");
    return;
  }
  if (verb == "run") {
    for (size_t i = count_at(words, 1, 1); i > 0; --i) {
      for (const NodeId id : cluster_.ids()) {
        if (cluster_.running(id)) cluster_.node(id).core->tick();
      }
      if (!cluster_.stabilize()) say("error: this does not come to rest");
    }
    return;
  }
  if (verb == "machines") {
    for (const NodeId id : cluster_.ids()) {
      std::string line = to_string(id) + " has applied " + to_string(cluster_.node(id).machine.applied) + ":";
      for (const std::string& command : cluster_.node(id).machine.commands) line += " " + command;
      say(line);
    }
    return;
  }
  if (verb == "queue") {
    for (const NodeId from : cluster_.ids()) {
      for (const NodeId to : cluster_.ids()) {
        for (const Message& message : cluster_.queue(from, to)) say(cluster_.describe(message));
      }
    }
    return;
  }

  // The rest is about one node.
  const NodeId id = node_id(word_at(words, 1));
  if (verb == "start") return cluster_.start(id);
  if (verb == "log") return print_log(id);
  if (verb == "status") return print_status(id);
  Node& node = live(id);
  Core& core = *node.core;
  const auto complain = [&](const auto& result) {
    if (!result.ok()) say(to_string(id) + " refuses: " + result.status().to_string());
  };
  if (verb == "stop") return cluster_.stop(id);
  if (verb == "crash") {
    cluster_.stop(id);
    return cluster_.start(id);
  }
  if (verb == "tick") {
    for (size_t i = count_at(words, 2, 1); i > 0; --i) {
      core.tick();
      take_all(id);
    }
  } else if (verb == "timeout") {
    const Role before = core.status().soft_state.role;
    const Term term = core.term();
    for (uint32_t i = 0; i < 2 * node.options.election_ticks; ++i) {
      core.tick();
      if (core.status().soft_state.role != before || core.term() != term) break;
    }
    take_all(id);
  } else if (verb == "ready") {
    take_all(id);
  } else if (verb == "campaign") {
    core.campaign();
  } else if (verb == "elect") {
    const bool silent = silent_;
    silent_ = true;
    core.campaign();
    cluster_.stabilize();
    silent_ = silent;
    say(core.is_leader() ? to_string(id) + " leads term " + to_string(core.term()) : "error: not elected");
  } else if (verb == "step-down") {
    core.step_down();
  } else if (verb == "transfer") {
    core.transfer_leadership(node_id(word_at(words, 2)));
  } else if (verb == "stream-lost") {
    core.stream_lost(node_id(word_at(words, 2)));
  } else if (verb == "unreachable") {
    core.unreachable(node_id(word_at(words, 2)));
  } else if (verb == "propose") {
    for (size_t i = 2; i < words.size(); ++i) complain(core.propose(std::make_shared<const std::string>(words[i])));
  } else if (verb == "propose-bytes") {
    const auto data = std::make_shared<const std::string>(number(word_at(words, 2)), 'x');
    for (size_t i = count_at(words, 3, 1); i > 0; --i) complain(core.propose(data));
  } else if (verb == "read") {
    for (size_t i = 2; i < words.size(); ++i) core.read_index(number(words[i]));
  } else if (verb == "change") {
    change(words);
  } else if (verb == "compact") {
    cluster_.compact(id, Index(number(word_at(words, 2))));
  } else if (verb == "hold-disk") {
    node.hold_disk = true;
  } else if (verb == "persist") {
    for (size_t i = count_at(words, 2, SIZE_MAX); i > 0 && cluster_.persist(id); --i) {
    }
  } else if (verb == "release-disk") {
    while (cluster_.persist(id)) {
    }
    node.hold_disk = false;
  } else if (verb == "hold-apply") {
    node.hold_apply = true;
  } else if (verb == "apply") {
    cluster_.apply(id, count_at(words, 2, SIZE_MAX));
  } else if (verb == "release-apply") {
    node.hold_apply = false;
    cluster_.apply(id);
  } else if (verb == "hold-install") {
    node.hold_install = true;
  } else if (verb == "install" || verb == "fail-install") {
    if (!node.installing) throw BadCommand("nothing to install");
    verb == "install" ? cluster_.install(id) : cluster_.fail_install(id);
  } else {
    throw BadCommand("unknown command");
  }
}

void Scenario::add_nodes(const Words& words) {
  const uint64_t count = number(word_at(words, 1));
  Settings given = settings(words, 2);
  Configuration configuration;
  for (uint64_t id = 1; id <= count; ++id) configuration.voters.push_back(NodeId(id));
  configuration.learners = node_ids(take(given, "learners"));
  CoreOptions options;
  set_options(options, given);
  none_left(given);
  for (const std::vector<NodeId>* some : {&configuration.voters, &configuration.learners}) {
    for (const NodeId id : *some) {
      cluster_.add(id, [&](Node& node) {
        node.options = options;
        node.options.id = id;
        node.options.seed = id.value();
        node.machine.configuration = configuration;
      });
    }
  }
}

void Scenario::add_node(const Words& words) {
  const NodeId id = node_id(word_at(words, 1));
  Settings given = settings(words, 2);
  cluster_.add(id, [&](Node& node) {
    node.machine.configuration.voters = node_ids(take(given, "voters"));
    node.machine.configuration.learners = node_ids(take(given, "learners"));
    node.hard_state.term = Term(number(take(given, "term", "0")));
    node.hard_state.vote = node_id(take(given, "vote", "0"));
    node.hard_state.commit = Index(number(take(given, "commit", "0")));
    std::vector<Entry> entries;
    for (const std::string& term : split(take(given, "log"), ',')) {
      const Index index(entries.size() + 1);
      entries.push_back({.index = index,
                         .term = Term(number(term)),
                         .data = std::make_shared<const std::string>("e" + to_string(index))});
    }
    node.log.append(entries);
    set_options(node.options, given);
    none_left(given);
  });
}

void Scenario::change(const Words& words) {
  ConfigChange change;
  for (size_t i = 2; i < words.size(); ++i) {
    if (words[i] == "joint") {
      change.joint = true;
    } else if (words[i] == "leave-joint") {
      change.leave_joint = true;
    } else {
      for (const auto& [what, who] : settings({words[i]}, 0)) {
        if (what != "add-voter" && what != "add-learner" && what != "remove") throw BadCommand("unknown change");
        change.changes.push_back({what == "add-voter"     ? ChangeType::kAddVoter
                                  : what == "add-learner" ? ChangeType::kAddLearner
                                                          : ChangeType::kRemove,
                                  node_id(who)});
      }
    }
  }
  const NodeId id = node_id(words[1]);
  const Result<Index> result = live(id).core->propose_change(change);
  if (!result.ok()) say(to_string(id) + " refuses: " + result.status().to_string());
}

void Scenario::deliver(const Words& words) {
  const auto [from, to] = link(word_at(words, 1));
  std::deque<Message>& waiting = cluster_.queue(from, to);
  if (waiting.empty()) say("error: nothing waits on " + words[1]);
  const std::string how = words.size() > 2 ? words[2] : "";
  if (how == "last") {
    if (waiting.empty()) return;
    std::rotate(waiting.begin(), waiting.end() - 1, waiting.end());
    cluster_.deliver(from, to, " (overtakes)");
    return;
  }
  const bool twice = how == "twice";
  for (size_t left = how.empty() || twice ? waiting.size() : number(how); left > 0 && !waiting.empty(); --left) {
    if (words[0] == "drop") {
      cluster_.drop(from, to);
      continue;
    }
    if (twice) {
      waiting.push_front(waiting.front());
      cluster_.deliver(from, to);
      cluster_.deliver(from, to, " (again)");
    } else {
      cluster_.deliver(from, to);
    }
  }
}

void Scenario::partition(const Words& words) {
  std::vector<std::vector<NodeId>> groups(1);
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "|") {
      groups.emplace_back();
    } else {
      groups.back().push_back(node_id(words[i]));
    }
  }
  for (const auto& a : groups) {
    for (const auto& b : groups) {
      if (&a == &b) continue;
      for (const NodeId from : a) {
        for (const NodeId to : b) cluster_.cut(from, to);
      }
    }
  }
}

void Scenario::print_log(NodeId id) {
  const Node& node = cluster_.node(id);
  std::string line = to_string(id) + " log:";
  const SnapshotMeta& snapshot = node.log.snapshot();
  if (snapshot.index) line += " snapshot " + Cluster::place(snapshot.index, snapshot.term);
  for (const Entry& entry : node.log.entries(node.log.first_index(), node.log.last_index() + 1, SIZE_MAX)) {
    line += " " + Cluster::describe(entry);
  }
  say(line + "; term " + to_string(node.hard_state.term) + " vote " + to_string(node.hard_state.vote) + " commit " +
      to_string(node.hard_state.commit));
}

void Scenario::print_status(NodeId id) {
  static const char* const kStates[] = {"probe", "replicate", "snapshot"};
  const CoreStatus status = live(id).core->status();
  std::string line = to_string(id) + " is " + std::string(role_name(status.soft_state.role)) + " in term " +
                     to_string(status.term) + ", commit " + to_string(status.commit) + " of " +
                     to_string(status.last_index);
  if (status.transferee) line += ", handing over to " + to_string(status.transferee);
  say(line + " " + Cluster::describe(status.configuration));
  for (const PeerStatus& peer : status.peers) {
    say("  " + to_string(peer.id) + (peer.learner ? " (learner)" : "") + " " +
        kStates[static_cast<size_t>(peer.state)] + " match " + to_string(peer.match) + " next " + to_string(peer.next));
  }
}

}  // namespace kv::raft::test
