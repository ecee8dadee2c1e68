#include "raft/codec.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/checksum.h"
#include "raft/transport.h"

namespace kv::raft {

void Gather::append(const Payload& payload) {
  if (payload->size() < kShareFromBytes) return append(std::string_view(*payload));
  shared_.push_back({text_.size(), payload});
  total_ += payload->size();
}

void Gather::overwrite(const Mark& at, std::string_view bytes) {
  KV_CHECK(at.text + bytes.size() <= text_.size(), "overwrites what was not written");
  std::memcpy(text_.data() + at.text, bytes.data(), bytes.size());
}

uint64_t Gather::checksum_since(const Mark& from, size_t skip, uint64_t seed) const {
  size_t at = from.text + skip;
  if (from.shared == shared_.size()) return checksum(std::string_view(text_).substr(at), seed);
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_64bits_reset_withSeed(&state, seed);
  for (size_t i = from.shared; i < shared_.size(); ++i) {
    XXH3_64bits_update(&state, text_.data() + at, shared_[i].text_before - at);
    XXH3_64bits_update(&state, shared_[i].payload->data(), shared_[i].payload->size());
    at = shared_[i].text_before;
  }
  XXH3_64bits_update(&state, text_.data() + at, text_.size() - at);
  return XXH3_64bits_digest(&state);
}

void Gather::rewind(const Mark& to) {
  text_.resize(to.text);
  shared_.resize(to.shared);
  total_ = to.total;
}

void Gather::clear() {
  constexpr size_t kKeepBytes = 4 << 20;  // a rare burst must not hold its memory for ever
  if (text_.capacity() > kKeepBytes) text_ = {};
  rewind({});
}

void Gather::pieces(std::vector<Piece>& out) const {
  size_t at = 0;
  for (const Shared& shared : shared_) {
    if (shared.text_before > at) out.push_back({text_.data() + at, shared.text_before - at});
    out.push_back({shared.payload->data(), shared.payload->size()});
    at = shared.text_before;
  }
  if (text_.size() > at) out.push_back({text_.data() + at, text_.size() - at});
}

namespace {

// The kinds' numbers on the wire; never reused for another meaning.
enum Kind : uint8_t {
  kVoteRequest = 1,
  kVoteReply = 2,
  kAppendRequest = 3,
  kAppendReply = 4,
  kHeartbeat = 5,
  kHeartbeatReply = 6,
  kReadIndexRequest = 7,
  kReadIndexReply = 8,
  kForward = 9,
  kSnapshotOffer = 10,
  kSnapshotReply = 11,
  kTimeoutNow = 12,
};

constexpr uint8_t kMaxEntryType = static_cast<uint8_t>(EntryType::kConfigChange);
// Type, term and length take one byte each at least.
constexpr size_t kMinEntryBytes = 3;

// ---- writing -----------------------------------------------------------------------------------------------

struct StringSink {
  std::string& out;
  void append(std::string_view bytes) { out.append(bytes); }
  void append(const Payload& payload) { out.append(*payload); }
};

template <typename Sink>
class Writer {
 public:
  explicit Writer(Sink& sink) : sink_(sink) {}

  void byte(uint8_t v) {
    const char c = static_cast<char>(v);
    sink_.append(std::string_view(&c, 1));
  }
  void flags(bool a, bool b = false) { byte(static_cast<uint8_t>((a ? 1 : 0) | (b ? 2 : 0))); }
  void varint(uint64_t v) {
    char buffer[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) buffer[n++] = static_cast<char>(v | 0x80);
    buffer[n++] = static_cast<char>(v);
    sink_.append(std::string_view(buffer, n));
  }
  template <typename Tag>
  void varint(Strong<Tag> v) {
    varint(v.value());
  }
  void fixed(NodeId id) {
    char buffer[8];
    for (int i = 0; i < 8; ++i) buffer[i] = static_cast<char>(id.value() >> (8 * i));
    sink_.append(std::string_view(buffer, sizeof buffer));
  }
  void payload(const Payload& data) {
    varint(data ? data->size() : 0);
    if (data && !data->empty()) sink_.append(data);
  }
  void nodes(const std::vector<NodeId>& ids) {
    varint(ids.size());
    for (const NodeId id : ids) fixed(id);
  }
  void configuration(const Configuration& c) {
    flags(c.auto_leave);
    nodes(c.voters);
    nodes(c.outgoing);
    nodes(c.learners);
    nodes(c.learners_next);
  }

  void body(const VoteRequest& m) {
    flags(m.pre_vote, m.transfer);
    varint(m.last_index);
    varint(m.last_term);
    varint(m.commit);
    varint(m.commit_term);
  }
  void body(const VoteReply& m) {
    flags(m.pre_vote, m.granted);
    varint(m.commit);
    varint(m.commit_term);
  }
  void body(const AppendRequest& m) {
    KV_CHECK(m.entries.size() <= kMaxEntriesPerMessage, "too many entries for one message");
    varint(m.previous_index);
    varint(m.previous_term);
    varint(m.commit);
    varint(m.entries.size());
    Index expected = m.previous_index;
    for (const Entry& entry : m.entries) {
      ++expected;
      KV_CHECK(entry.index == expected, "entries of a message are consecutive from previous_index + 1");
      byte(static_cast<uint8_t>(entry.type));
      varint(entry.term);
      payload(entry.data);
    }
  }
  void body(const AppendReply& m) {
    flags(m.accepted);
    varint(m.index);
    varint(m.hint_index);
    varint(m.hint_term);
  }
  void body(const Heartbeat& m) {
    varint(m.commit);
    varint(m.read_round);
  }
  void body(const HeartbeatReply& m) { varint(m.read_round); }
  void body(const ReadIndexRequest& m) { varint(m.id); }
  void body(const ReadIndexReply& m) {
    varint(m.id);
    varint(m.index);
  }
  void body(const Forward& m) {
    byte(static_cast<uint8_t>(m.type));
    payload(m.data);
  }
  void body(const SnapshotOffer& m) {
    varint(m.meta.index);
    varint(m.meta.term);
    configuration(m.meta.configuration);
  }
  void body(const SnapshotReply& m) {
    flags(m.installed);
    varint(m.index);
  }
  void body(const TimeoutNow&) {}

 private:
  Sink& sink_;
};

Kind kind_of(const VoteRequest&) { return kVoteRequest; }
Kind kind_of(const VoteReply&) { return kVoteReply; }
Kind kind_of(const AppendRequest&) { return kAppendRequest; }
Kind kind_of(const AppendReply&) { return kAppendReply; }
Kind kind_of(const Heartbeat&) { return kHeartbeat; }
Kind kind_of(const HeartbeatReply&) { return kHeartbeatReply; }
Kind kind_of(const ReadIndexRequest&) { return kReadIndexRequest; }
Kind kind_of(const ReadIndexReply&) { return kReadIndexReply; }
Kind kind_of(const Forward&) { return kForward; }
Kind kind_of(const SnapshotOffer&) { return kSnapshotOffer; }
Kind kind_of(const SnapshotReply&) { return kSnapshotReply; }
Kind kind_of(const TimeoutNow&) { return kTimeoutNow; }

template <typename Sink>
void write_message(const Message& message, Sink& sink) {
  Writer<Sink> writer(sink);
  std::visit(
      [&](const auto& body) {
        writer.byte(kind_of(body));
        writer.fixed(message.from);
        writer.fixed(message.to);
        writer.varint(message.term);
        writer.body(body);
      },
      message.body);
}

// ---- reading -----------------------------------------------------------------------------------------------

// Reads from the front. After the first thing that does not fit, everything read is zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }
  size_t left() const { return rest_.size(); }
  void fail() {
    ok_ = false;
    rest_ = {};
  }

  uint8_t byte() {
    if (rest_.empty()) {
      fail();
      return 0;
    }
    const auto v = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return v;
  }
  // A byte in which no bit outside `known` is set.
  uint8_t flags(uint8_t known) {
    const uint8_t v = byte();
    if ((v & ~known) != 0) fail();
    return ok_ ? v : 0;
  }
  uint64_t varint() {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const uint8_t b = byte();
      if (!ok_) return 0;
      if (shift == 63 && b > 1) break;  // more than 64 bits
      v |= static_cast<uint64_t>(b & 0x7f) << shift;
      if ((b & 0x80) == 0) {
        if (b == 0 && shift != 0) break;  // longer than it need be
        return v;
      }
    }
    fail();
    return 0;
  }
  Index index() { return Index(varint()); }
  Term term() { return Term(varint()); }
  NodeId node() {
    if (rest_.size() < 8) {
      fail();
      return {};
    }
    uint64_t v = 0;
    for (int i = 0; i < 8; ++i) v |= static_cast<uint64_t>(static_cast<uint8_t>(rest_[i])) << (8 * i);
    rest_.remove_prefix(8);
    return NodeId(v);
  }
  EntryType entry_type() {
    const uint8_t v = byte();
    if (v > kMaxEntryType) fail();
    return static_cast<EntryType>(ok_ ? v : 0);
  }
  Payload payload() {
    static const Payload kEmpty = std::make_shared<const std::string>();
    const uint64_t size = varint();
    if (size > rest_.size()) fail();
    if (!ok_ || size == 0) return kEmpty;
    auto data = std::make_shared<const std::string>(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return data;
  }
  std::vector<NodeId> nodes() {
    const uint64_t count = varint();
    if (count > kMaxEncodedMembers || count > rest_.size() / 8) fail();
    std::vector<NodeId> ids;
    if (!ok_) return ids;
    ids.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      const NodeId id = node();
      if (!ids.empty() && id <= ids.back()) fail();  // sorted, no duplicates
      ids.push_back(id);
    }
    return ids;
  }
  Configuration configuration() {
    Configuration c;
    c.auto_leave = flags(1) != 0;
    c.voters = nodes();
    c.outgoing = nodes();
    c.learners = nodes();
    c.learners_next = nodes();
    return c;
  }

  void body(VoteRequest& m) {
    const uint8_t f = flags(3);
    m.pre_vote = (f & 1) != 0;
    m.transfer = (f & 2) != 0;
    m.last_index = index();
    m.last_term = term();
    m.commit = index();
    m.commit_term = term();
  }
  void body(VoteReply& m) {
    const uint8_t f = flags(3);
    m.pre_vote = (f & 1) != 0;
    m.granted = (f & 2) != 0;
    m.commit = index();
    m.commit_term = term();
  }
  void body(AppendRequest& m) {
    m.previous_index = index();
    m.previous_term = term();
    m.commit = index();
    const uint64_t count = varint();
    if (count > kMaxEntriesPerMessage || count > rest_.size() / kMinEntryBytes ||
        count > std::numeric_limits<uint64_t>::max() - m.previous_index.value()) {
      fail();
    }
    if (!ok_) return;
    m.entries.reserve(count);
    Index at = m.previous_index;
    for (uint64_t i = 0; i < count && ok_; ++i) {
      Entry& entry = m.entries.emplace_back();
      entry.index = ++at;
      entry.type = entry_type();
      entry.term = term();
      entry.data = payload();
    }
  }
  void body(AppendReply& m) {
    m.accepted = flags(1) != 0;
    m.index = index();
    m.hint_index = index();
    m.hint_term = term();
  }
  void body(Heartbeat& m) {
    m.commit = index();
    m.read_round = varint();
  }
  void body(HeartbeatReply& m) { m.read_round = varint(); }
  void body(ReadIndexRequest& m) { m.id = varint(); }
  void body(ReadIndexReply& m) {
    m.id = varint();
    m.index = index();
  }
  void body(Forward& m) {
    m.type = entry_type();
    m.data = payload();
  }
  void body(SnapshotOffer& m) {
    m.meta.index = index();
    m.meta.term = term();
    m.meta.configuration = configuration();
  }
  void body(SnapshotReply& m) {
    m.installed = flags(1) != 0;
    m.index = index();
  }
  void body(TimeoutNow&) {}

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// Makes the body of that kind in `message`; false when there is no such kind.
bool set_kind(uint8_t kind, Message& message) {
  switch (kind) {
    case kVoteRequest: message.body = VoteRequest{}; return true;
    case kVoteReply: message.body = VoteReply{}; return true;
    case kAppendRequest: message.body = AppendRequest{}; return true;
    case kAppendReply: message.body = AppendReply{}; return true;
    case kHeartbeat: message.body = Heartbeat{}; return true;
    case kHeartbeatReply: message.body = HeartbeatReply{}; return true;
    case kReadIndexRequest: message.body = ReadIndexRequest{}; return true;
    case kReadIndexReply: message.body = ReadIndexReply{}; return true;
    case kForward: message.body = Forward{}; return true;
    case kSnapshotOffer: message.body = SnapshotOffer{}; return true;
    case kSnapshotReply: message.body = SnapshotReply{}; return true;
    case kTimeoutNow: message.body = TimeoutNow{}; return true;
    default: return false;
  }
}

}  // namespace

void encode(const Message& message, std::string& out) {
  StringSink sink{out};
  write_message(message, sink);
}

void encode(const Message& message, Gather& out) { write_message(message, out); }

std::optional<Message> decode_message(std::string_view bytes) {
  Reader reader(bytes);
  Message message;
  if (!set_kind(reader.byte(), message)) return std::nullopt;
  message.from = reader.node();
  message.to = reader.node();
  message.term = reader.term();
  std::visit([&](auto& body) { reader.body(body); }, message.body);
  if (!reader.done()) return std::nullopt;
  return message;
}

void encode(const Configuration& configuration, std::string& out) {
  StringSink sink{out};
  Writer<StringSink>(sink).configuration(configuration);
}

std::optional<Configuration> decode_configuration(std::string_view bytes) {
  Reader reader(bytes);
  Configuration configuration = reader.configuration();
  if (!reader.done()) return std::nullopt;
  return configuration;
}

size_t message_bytes(const Message& message) {
  constexpr size_t kFixed = 64;
  if (const auto* append = std::get_if<AppendRequest>(&message.body)) {
    size_t total = kFixed;
    for (const Entry& entry : append->entries) total += entry.bytes();
    return total;
  }
  if (const auto* forward = std::get_if<Forward>(&message.body)) {
    return kFixed + (forward->data ? forward->data->size() : 0);
  }
  return kFixed;
}

}  // namespace kv::raft
