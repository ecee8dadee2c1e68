#include "raft/codec.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/checksum.h"
#include "raft/random_message.h"
#include "raft/transport.h"

namespace kv::raft {
namespace {

std::string encoded(const Message& message) {
  std::string out;
  encode(message, out);
  return out;
}

std::string bytes_of(const Gather& gather) {
  std::vector<Gather::Piece> pieces;
  gather.pieces(pieces);
  std::string all;
  for (const auto& piece : pieces) all.append(piece.data, piece.size);
  return all;
}

TEST(Codec, Every_message_comes_back_as_it_was) {
  Random random(1);
  for (int i = 0; i < 20000; ++i) {
    const Message message = random_message(random, i % kMessageKinds);
    const auto back = decode_message(encoded(message));
    ASSERT_TRUE(back.has_value()) << "message " << i;
    ASSERT_EQ(*back, message) << "message " << i;
  }
}

TEST(Codec, Extreme_numbers_come_back) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  for (const uint64_t v : {uint64_t{0}, uint64_t{127}, uint64_t{128}, kMax >> 1, kMax - 1, kMax}) {
    const Message message{NodeId(v), NodeId(v), Term(v), AppendReply{true, Index(v), Index(v), Term(v)}};
    EXPECT_EQ(decode_message(encoded(message)), message) << v;
  }
}

// The format itself, byte by byte, as docs/formats.md has it: a change here breaks members of different versions.
TEST(Codec, Format_is_the_documented_one) {
  Message message{NodeId(0x0102030405060708), NodeId(2), Term(300), AppendRequest{}};
  auto& append = std::get<AppendRequest>(message.body);
  append.previous_index = Index(5);
  append.previous_term = Term(4);
  append.commit = Index(3);
  append.entries.push_back({Index(6), Term(7), EntryType::kCommand, std::make_shared<const std::string>("ab")});
  const std::string expected(
      "\x03"
      "\x08\x07\x06\x05\x04\x03\x02\x01"
      "\x02\x00\x00\x00\x00\x00\x00\x00"
      "\xac\x02"
      "\x05\x04\x03\x01"
      "\x01\x07\x02"
      "ab",
      28);
  EXPECT_EQ(encoded(message), expected);
}

TEST(Codec, Every_cut_of_a_message_is_refused) {
  Random random(2);
  for (size_t kind = 0; kind < kMessageKinds; ++kind) {
    for (int round = 0; round < 20; ++round) {
      const std::string whole = encoded(random_message(random, kind));
      for (size_t n = 0; n < whole.size(); ++n) {
        ASSERT_FALSE(decode_message(std::string_view(whole).substr(0, n))) << "kind " << kind << " cut at " << n;
      }
      ASSERT_FALSE(decode_message(whole + '\0')) << "a byte too many";
    }
  }
}

// Whatever decodes has exactly these bytes as its encoding: no second spelling, no ignored bits.
TEST(Codec, Mutated_messages_never_crash_and_what_decodes_encodes_to_the_same_bytes) {
  Random random(3);
  size_t decoded = 0;
  for (int i = 0; i < 100000; ++i) {
    std::string bytes = encoded(random_message(random, random.below(kMessageKinds)));
    for (uint64_t changes = 1 + random.below(4); changes > 0; --changes) {
      const size_t at = random.below(bytes.size());
      switch (random.below(5)) {
        case 0: bytes[at] = static_cast<char>(random.next()); break;
        case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8))); break;
        case 2: bytes.insert(at, random_bytes(random, 9)); break;
        case 3: bytes.erase(at, random.below(9)); break;
        default: bytes[at] = static_cast<char>(random.one_in(2) ? 0xff : 0x80); break;
      }
      if (bytes.empty()) break;
    }
    // An exact copy on the heap, so that a sanitizer sees a read past the end.
    const std::vector<char> heap(bytes.begin(), bytes.end());
    const auto message = decode_message({heap.data(), heap.size()});
    if (!message) continue;
    ++decoded;
    ASSERT_EQ(encoded(*message), bytes);
  }
  EXPECT_GT(decoded, 1000u) << "the mutations are so wild that nothing past the first byte is tested";
}

TEST(Codec, Random_bytes_never_crash) {
  Random random(4);
  for (int i = 0; i < 100000; ++i) {
    std::string bytes = random_bytes(random, 64);
    if (!bytes.empty()) bytes[0] = static_cast<char>(random.below(kMessageKinds + 2));
    if (const auto message = decode_message(bytes)) {
      ASSERT_EQ(encoded(*message), bytes);
    }
  }
}

TEST(Codec, A_count_beyond_the_bytes_is_refused_before_memory_is_taken) {
  std::string bytes("\x03", 1);
  bytes += std::string(16, '\0');                   // from, to
  bytes += std::string("\x00\x00\x00\x00", 4);      // term, previous_index, previous_term, commit
  bytes += std::string("\xff\xff\xff\xff\x0f", 5);  // 2^32 - 1 entries
  bytes += std::string(3000, '\0');
  EXPECT_FALSE(decode_message(bytes));
}

TEST(Codec, Indexes_that_would_run_over_are_refused) {
  Message message{NodeId(1), NodeId(2), Term(1), AppendRequest{}};
  auto& append = std::get<AppendRequest>(message.body);
  append.previous_index = Index(std::numeric_limits<uint64_t>::max() - 1);
  append.entries.push_back({append.previous_index + 1, Term(1), EntryType::kNoop, nullptr});
  std::string bytes = encoded(message);
  ASSERT_TRUE(decode_message(bytes));
  // previous_index one higher: there is no index for the entry.
  const size_t at = 1 + 16 + 1;
  ASSERT_EQ(static_cast<uint8_t>(bytes[at]), 0xfe);
  bytes[at] = static_cast<char>(0xff);
  EXPECT_FALSE(decode_message(bytes));
}

TEST(Codec, Unsorted_or_repeated_members_are_refused) {
  Message message{NodeId(1), NodeId(2), Term(1), SnapshotOffer{}};
  auto& voters = std::get<SnapshotOffer>(message.body).meta.configuration.voters;
  voters = {NodeId(1), NodeId(2)};
  EXPECT_TRUE(decode_message(encoded(message)));
  voters = {NodeId(2), NodeId(1)};
  EXPECT_FALSE(decode_message(encoded(message)));
  voters = {NodeId(2), NodeId(2)};
  EXPECT_FALSE(decode_message(encoded(message)));
}

TEST(Codec, A_null_payload_travels_as_an_empty_one) {
  const Message message{NodeId(1), NodeId(2), Term(1), Forward{EntryType::kCommand, nullptr}};
  const auto back = decode_message(encoded(message));
  ASSERT_TRUE(back);
  ASSERT_TRUE(std::get<Forward>(back->body).data);
  EXPECT_TRUE(std::get<Forward>(back->body).data->empty());
}

TEST(Codec, Gathered_bytes_are_the_encoded_ones_and_large_payloads_are_not_copied) {
  Random random(5);
  for (int i = 0; i < 500; ++i) {
    Gather gather;
    gather.append("before");
    const Gather::Mark mark = gather.mark();
    const Message message = random_message(random, i % 2 == 0 ? 2 : 8, 3 * Gather::kShareFromBytes);
    encode(message, gather);
    const std::string all = bytes_of(gather);
    ASSERT_EQ(all, "before" + encoded(message));
    ASSERT_EQ(gather.size(), all.size());
    ASSERT_EQ(gather.checksum_since(mark, 0, 42), checksum(encoded(message), 42));
    gather.rewind(mark);
    ASSERT_EQ(bytes_of(gather), "before");
  }
  const auto large = std::make_shared<const std::string>(100000, 'x');
  Gather gather;
  encode(Message{NodeId(1), NodeId(2), Term(3), Forward{EntryType::kCommand, large}}, gather);
  std::vector<Gather::Piece> pieces;
  gather.pieces(pieces);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].data, large->data());
}

}  // namespace
}  // namespace kv::raft
