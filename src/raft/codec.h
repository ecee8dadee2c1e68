// The bytes of raft messages. The format is written down in docs/formats.md; encode() and decode_message() of
// raft/transport.h are its two ends. Decoding is strict: every value has exactly one encoding, so that for any
// bytes that decode to a message, encoding it gives the same bytes again. No bytes, whatever they are, make it
// read out of bounds, allocate more than a small multiple of their size, or abort.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "raft/types.h"

namespace kv::raft {

// An AppendRequest holds at most this many entries. A decoded entry takes more memory than its shortest encoding,
// so a limit on bytes alone would not limit memory.
inline constexpr size_t kMaxEntriesPerMessage = 1 << 20;
// Each list of a Configuration holds at most this many members.
inline constexpr size_t kMaxEncodedMembers = 1 << 12;

// Bytes that are to leave in one go: text of our own and, in between, payloads that are shared, not copied.
class Gather {
 public:
  // A payload shorter than this is copied: a place in the I/O vector costs more.
  static constexpr size_t kShareFromBytes = 2048;

  struct Piece {
    const char* data;
    size_t size;
  };
  // A position between what was appended before and what comes after.
  struct Mark {
    size_t text = 0;
    size_t shared = 0;
    size_t total = 0;
  };

  void append(std::string_view bytes) {
    text_.append(bytes);
    total_ += bytes.size();
  }
  void append(const Payload& payload);

  size_t size() const { return total_; }
  bool empty() const { return total_ == 0; }
  Mark mark() const { return {text_.size(), shared_.size(), total_}; }

  // Overwrites what was appended as text right after `at`.
  void overwrite(const Mark& at, std::string_view bytes);
  // checksum() of base/checksum.h over everything from `from` + `skip` on; what is skipped must be text.
  uint64_t checksum_since(const Mark& from, size_t skip, uint64_t seed) const;
  // Forgets everything after `to`.
  void rewind(const Mark& to);
  void clear();

  // Adds the pieces in order to `out`. They live until the next call that changes this object.
  void pieces(std::vector<Piece>& out) const;

 private:
  struct Shared {
    size_t text_before;  // the payload stands behind this many bytes of text_
    Payload payload;
  };
  std::string text_;
  std::vector<Shared> shared_;
  size_t total_ = 0;
};

// As encode() of raft/transport.h, but large payloads are shared.
void encode(const Message& message, Gather& out);

// A configuration as it stands in a SnapshotOffer and in the log's snapshot record. encode() appends; decode:
// nullopt when the bytes are not exactly one configuration.
void encode(const Configuration& configuration, std::string& out);
std::optional<Configuration> decode_configuration(std::string_view bytes);

// About what a message takes in memory and on the wire; for limits on queues.
size_t message_bytes(const Message& message);

}  // namespace kv::raft
