#include "conformance/differential/transcript.h"

#include <algorithm>
#include <iomanip>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>

#include "base/log.h"
#include "conformance/differential/exchange.h"

namespace kv::differential {
namespace {

namespace pb = etcdserverpb;

std::vector<std::string> split_words(const std::string& line, int number) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (const char c : line) {
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ') {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) throw std::runtime_error("line " + std::to_string(number) + ": a quote is not closed");
  if (in_word) words.push_back(std::move(word));
  return words;
}

std::string replace_all(std::string text, const std::string& what, const std::string& with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
  return text;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

bool starts_with(const std::string& text, const std::string& prefix) { return text.rfind(prefix, 0) == 0; }

std::string write_out(const Command& command) {
  for (size_t i = 0; i < command.words.size(); ++i) {
    const std::string& word = command.words[i];
    if (word == "-w" && i + 1 < command.words.size()) return command.words[i + 1];
    if (starts_with(word, "--write-out=")) return word.substr(12);
  }
  return "simple";
}

// The answer of `-w protobuf` as masked text; its bytes would differ by the ids' varints.
std::string decode_protobuf(const Command& command, std::string bytes) {
  // Interactive transactions ask for their parts first.
  for (const std::string prompt :
       {"compares:\n", "success requests (get, put, del):\n", "failure requests (get, put, del):\n"}) {
    if (starts_with(bytes, prompt)) bytes.erase(0, prompt.size());
  }
  std::unique_ptr<google::protobuf::Message> message;
  const std::string& verb = command.words.front();
  if (verb == "get") message = std::make_unique<pb::RangeResponse>();
  if (verb == "put") message = std::make_unique<pb::PutResponse>();
  if (verb == "del") message = std::make_unique<pb::DeleteRangeResponse>();
  if (verb == "txn") message = std::make_unique<pb::TxnResponse>();
  if (verb == "compaction") message = std::make_unique<pb::CompactionResponse>();
  if (!message || bytes.empty()) return bytes;
  if (!message->ParseFromString(bytes)) return "not a " + message->GetTypeName() + ": " + bytes;
  mask(*message);
  return message->DebugString();
}

// A table's cells without their padding, because a masked cell's width says nothing; some columns masked.
std::string mask_table(const std::string& text) {
  static const std::set<std::string> kMasked = {"VERSION", "DB SIZE", "RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX",
                                                "TOOK",    "HASH"};
  std::string out;
  std::vector<std::string> titles;
  for (const std::string& line : lines_of(text)) {
    if (starts_with(line, "+-")) {
      out += "+-\n";
      continue;
    }
    std::vector<std::string> cells;
    std::istringstream in(line);
    for (std::string cell; std::getline(in, cell, '|');) {
      const size_t from = cell.find_first_not_of(' ');
      cells.push_back(from == std::string::npos ? "" : cell.substr(from, cell.find_last_not_of(' ') - from + 1));
    }
    const bool head = titles.empty();
    if (head) titles = cells;
    for (size_t i = 1; i < cells.size(); ++i) {
      const bool masked = !head && i < titles.size() && kMasked.count(titles[i]) > 0 && !cells[i].empty();
      out += "| " + (masked ? "*" : cells[i]) + " ";
    }
    out += "|\n";
  }
  return out;
}

// What differs from run to run, by the place where it stands. A zero is not masked: it says that a field is unset.
std::string mask_places(std::string text) {
  static const std::vector<std::pair<std::regex, std::string>> kPlaces = {
      // etcdctl's own log of retries, with times and connection names
      {std::regex(R"(\{"level":"[^\n]*\n)"), ""},
      {std::regex(R"re("(raft_term|raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse|hash)":[1-9][0-9]*)re"),
       "\"$1\":*"},
      {std::regex(R"re("(RaftTerm|RaftIndex|RaftAppliedIndex|DBSize|Hash)" : [1-9][0-9]*)re"), "\"$1\" : *"},
      {std::regex(R"re("version":"[^"]+")re"), R"("version":"*")"},
      {std::regex(R"re("Version" : "[^"]+")re"), R"("Version" : "*")"},
      {std::regex(R"re("took":"[^"]+")re"), R"("took":"*")"},
      // what a lease has left
      // keys of locks and elections end in the id of their session's lease
      {std::regex(R"(/[0-9a-f]{12,16}\b)"), "/<session>"},
      {std::regex(R"(remaining\([0-9]+s\))"), "remaining(*)"},
      {std::regex(R"re("ttl":[1-9][0-9]*)re"), "\"ttl\":*"},
      {std::regex(R"re("Took" : [^\n]+)re"), R"("Took" : *)"},
      {std::regex(R"(took = [^\n]+)"), "took = *"},
      // endpoint status, simple: address, id, version, size, leader, learner, term, index, applied, errors
      {std::regex(R"((<[^>]+>, <[^>]+>), [^,\n]+, [^,\n]+, (true|false), (true|false), \d+, \d+, \d+,)"),
       "$1, *, *, $2, $3, *, *, *,"},
      // endpoint hashkv, simple
      {std::regex(R"((<[^>]+>), \d+\n)"), "$1, *\n"},
  };
  for (const auto& [place, with] : kPlaces) text = std::regex_replace(text, place, with);
  return text;
}

std::string sorted_lines(const std::string& text) {
  std::vector<std::string> lines = lines_of(text);
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

// A granted lease gets a name: <lease1>, <lease2>, ... Its id is the server's choice, and differs. In a command it is
// written {lease1}; what that stands for is kept among the names too.
void name_lease(const std::string& granted, Names& names) {
  static const std::regex kHex("lease ([0-9a-f]{16}) granted");
  static const std::regex kDecimal(R"re("ID"\s?:\s?([0-9]+))re");
  std::smatch found;
  uint64_t id = 0;
  if (std::regex_search(granted, found, kHex)) {
    id = std::stoull(found[1], nullptr, 16);
  } else if (std::regex_search(granted, found, kDecimal)) {
    id = std::stoull(found[1]);
  }
  if (id == 0) return;
  int count = 1;
  for (const auto& [what, name] : names) count += starts_with(what, "{lease") ? 1 : 0;
  const std::string name = "lease" + std::to_string(count);
  std::ostringstream hex;
  hex << std::hex << std::setw(16) << std::setfill('0') << id;
  names[std::to_string(id)] = names[hex.str()] = "<" + name + ">";
  names["{" + name + "}"] = hex.str();
}

std::string with_leases(std::string text, const Names& names) {
  for (const auto& [what, name] : names) {
    if (starts_with(what, "{lease")) text = replace_all(text, what, name);
  }
  return text;
}

std::string mask_names(std::string text, const Names& names) {
  // Longer ones first, so that no name is found inside another.
  std::vector<std::pair<std::string, std::string>> by_length(names.begin(), names.end());
  std::sort(by_length.begin(), by_length.end(),
            [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  for (const auto& [what, with] : by_length) text = replace_all(text, what, with);
  return text;
}

std::string take_word(std::string& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string word = line.substr(0, end);
  line.erase(0, line.find_first_not_of(' ', end));
  return word;
}

Command parse_line(std::string line, int number) {
  using Kind = Command::Kind;
  const auto refuse = [&](const std::string& why) {
    return std::runtime_error("line " + std::to_string(number) + ": " + why);
  };
  Command command;
  command.text = line;
  const std::string mark = take_word(line);
  std::string count;
  if (mark == "$" || mark == "$sorted") {
    command.sorted = mark == "$sorted";
  } else if (mark == "$until") {
    command.kind = Kind::kUntil;
    count = take_word(line);
  } else if (mark.size() > 1 && std::string("&><!").find(mark[0]) != std::string::npos) {
    command.name = mark.substr(1);
    command.kind = mark[0] == '&' ? Kind::kStart : mark[0] == '>' ? Kind::kSend : Kind::kInterrupt;
    if (mark[0] == '<') {
      count = take_word(line);
      command.kind = count == "end" ? Kind::kEnd : Kind::kLines;
    }
  } else {
    throw refuse("neither a command nor a comment: " + command.text);
  }
  if (command.kind == Kind::kUntil || command.kind == Kind::kLines) {
    if (count.empty() || count.find_first_not_of("0123456789") != std::string::npos) throw refuse("no number of lines");
    command.lines = std::stoi(count);
  }
  command.words = split_words(line, number);
  const bool wants_words = command.kind == Kind::kRun || command.kind == Kind::kUntil || command.kind == Kind::kStart ||
                           command.kind == Kind::kSend;
  if (command.words.empty() == wants_words) throw refuse("an empty command, or words that mean nothing");
  return command;
}

}  // namespace

std::vector<Command> parse_transcript(const std::string& text) {
  std::vector<Command> commands;
  const std::vector<std::string> lines = lines_of(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    const int number = static_cast<int>(i) + 1;
    std::string line = lines[i];
    if (line.empty() || line[0] == '#') continue;
    const bool has_input = line.size() > 6 && line.compare(line.size() - 6, 6, " <<END") == 0;
    if (has_input) line.erase(line.size() - 6);
    Command command = parse_line(line, number);
    command.line = number;
    if (has_input) {
      for (++i; i < lines.size() && lines[i] != "END"; ++i) command.input += lines[i] + "\n";
      if (i == lines.size()) throw std::runtime_error("line " + std::to_string(number) + ": no END");
    }
    commands.push_back(std::move(command));
  }
  return commands;
}

Names names_of(harness::Cluster& cluster) {
  Names names;
  for (int i = 0; i < cluster.size(); ++i) {
    const std::string name = "m" + std::to_string(i);
    names[cluster.endpoint(i)] = "<" + name + " client>";
    names["127.0.0.1:" + std::to_string(cluster.ports()[2 * static_cast<size_t>(i) + 1])] = "<" + name + " peer>";
    pb::StatusResponse status;
    const grpc::Status answer =
        cluster.client(i).maintenance->Status(harness::within(std::chrono::seconds(10)).get(), {}, &status);
    if (!answer.ok()) throw std::runtime_error("Maintenance.Status: " + answer.error_message());
    const uint64_t id = status.header().member_id();
    names[hex_id(id)] = names[std::to_string(id)] = "<" + name + ">";
    const uint64_t cluster_id = status.header().cluster_id();
    names[hex_id(cluster_id)] = names[std::to_string(cluster_id)] = "<cluster>";
  }
  return names;
}

std::vector<std::string> argv_of(const Command& command, const std::string& program, harness::Cluster& cluster,
                                 const Names& names) {
  std::vector<std::string> argv = {program};
  for (std::string word : command.words) {
    word = with_leases(word, names);
    for (int i = 0; i < cluster.size(); ++i) {
      word = replace_all(word, "{m" + std::to_string(i) + "}", cluster.endpoint(i));
    }
    argv.push_back(std::move(word));
  }
  const bool has_endpoints = std::find(argv.begin(), argv.end(), "--endpoints") != argv.end();
  if (!has_endpoints) argv.insert(argv.begin() + 1, "--endpoints=" + cluster.endpoint(0));
  return argv;
}

std::string masked(const Command& command, const std::string& output, const Names& names) {
  const std::string format = write_out(command);
  std::string out = format == "protobuf" ? decode_protobuf(command, output) : output;
  out = mask_places(mask_names(out, names));
  if (format == "table") out = mask_table(out);
  return command.sorted ? sorted_lines(out) : out;
}

std::string play(const Command& command, const std::string& program, harness::Cluster& cluster, Names& names) {
  const std::vector<std::string> argv = argv_of(command, program, cluster, names);
  const harness::Output output = harness::run(argv, with_leases(command.input, names), {"ETCDCTL_API=3"});
  if (command.words.size() > 1 && command.words[0] == "lease" && command.words[1] == "grant") {
    name_lease(output.out, names);
  }
  std::string answer = masked(command, output.out, names);
  std::string err = mask_places(mask_names(output.err, names));
  if (command.sorted) err = sorted_lines(err);
  if (!err.empty()) answer += "[standard error]\n" + err;
  if (output.exit != 0) answer += "[exit " + std::to_string(output.exit) + "]\n";
  return answer;
}

}  // namespace kv::differential
