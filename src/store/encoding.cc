#include "store/encoding.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace kv::store {
namespace {

static_assert(std::endian::native == std::endian::little, "fixed numbers are written in little endian");

constexpr uint8_t kTombstone = 1 << 0;
constexpr uint8_t kHasLease = 1 << 1;
constexpr uint8_t kHasPrev = 1 << 2;
constexpr uint8_t kKnownFlags = kTombstone | kHasLease | kHasPrev;

constexpr char kHistoryFormat = 1;

template <typename T>
void put_fixed(std::string* out, T n) {
  out->append(reinterpret_cast<const char*>(&n), sizeof n);
}

template <typename T>
T get_fixed(const char* from) {
  T n;
  std::memcpy(&n, from, sizeof n);
  return n;
}

template <typename T>
T big_endian(T n) {
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(static_cast<uint64_t>(n)));
  return static_cast<T>(__builtin_bswap32(static_cast<uint32_t>(n)));
}

}  // namespace

void put_varint(std::string* out, uint64_t n) {
  while (n >= 0x80) {
    out->push_back(static_cast<char>(n | 0x80));
    n >>= 7;
  }
  out->push_back(static_cast<char>(n));
}

bool get_varint(std::string_view* in, uint64_t* n) {
  uint64_t value = 0;
  for (size_t i = 0; i < in->size() && i < 10; ++i) {
    const auto byte = static_cast<uint8_t>((*in)[i]);
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      in->remove_prefix(i + 1);
      *n = value;
      return true;
    }
  }
  return false;
}

void encode_record(const Record& r, std::string* out) {
  uint8_t flags = 0;
  if (r.tombstone) flags |= kTombstone;
  if (r.lease != 0) flags |= kHasLease;
  if (!r.prev.none()) flags |= kHasPrev;
  out->push_back(static_cast<char>(flags));
  put_varint(out, static_cast<uint64_t>(r.mod.main));
  put_varint(out, r.mod.sub);
  if (flags & kHasPrev) {
    put_varint(out, static_cast<uint64_t>(r.mod.main - r.prev.main));
    put_varint(out, r.prev.sub);
  }
  if (r.tombstone) return;
  put_varint(out, static_cast<uint64_t>(r.mod.main - r.create_revision));
  put_varint(out, static_cast<uint64_t>(r.version));
  if (flags & kHasLease) put_varint(out, static_cast<uint64_t>(r.lease));
  out->append(r.value);
}

bool decode_record(std::string_view bytes, Record* r) {
  if (bytes.empty()) return false;
  const auto flags = static_cast<uint8_t>(bytes[0]);
  if (flags & ~kKnownFlags) return false;
  bytes.remove_prefix(1);
  uint64_t main, n;
  if (!get_varint(&bytes, &main) || !get_varint(&bytes, &n)) return false;
  *r = Record();
  r->mod = {static_cast<int64_t>(main), static_cast<uint32_t>(n)};
  if (flags & kHasPrev) {
    uint64_t back, sub;
    if (!get_varint(&bytes, &back) || !get_varint(&bytes, &sub) || back >= main) return false;
    r->prev = {static_cast<int64_t>(main - back), static_cast<uint32_t>(sub)};
  }
  if (flags & kTombstone) {
    r->tombstone = true;
    return bytes.empty();
  }
  uint64_t age, version, lease = 0;
  if (!get_varint(&bytes, &age) || !get_varint(&bytes, &version) || age >= main) return false;
  if ((flags & kHasLease) && !get_varint(&bytes, &lease)) return false;
  r->create_revision = static_cast<int64_t>(main - age);
  r->version = static_cast<int64_t>(version);
  r->lease = static_cast<int64_t>(lease);
  r->value = bytes;
  return true;
}

bool decode_change(std::string_view bytes, Change* change) {
  uint64_t key_size;
  if (!get_varint(&bytes, &key_size) || key_size > bytes.size()) return false;
  change->key = bytes.substr(0, key_size);
  change->encoded = bytes.substr(key_size);
  return decode_record(change->encoded, &change->record);
}

std::string history_key(Rev rev) {
  std::string key;
  key.reserve(kHistoryKeySize);
  put_fixed(&key, big_endian(rev.main));
  put_fixed(&key, big_endian(rev.sub));
  return key;
}

bool decode_history_key(std::string_view bytes, Rev* rev) {
  if (bytes.size() != kHistoryKeySize) return false;
  rev->main = big_endian(get_fixed<int64_t>(bytes.data()));
  rev->sub = big_endian(get_fixed<uint32_t>(bytes.data() + 8));
  return true;
}

HistoryBuilder::HistoryBuilder() { bytes_->push_back(kHistoryFormat); }

void HistoryBuilder::index(Rev mod) {
  if (index_.empty()) first_ = mod;
  const int64_t delta = mod.main - first_.main;
  KV_CHECK(delta >= 0 && delta <= UINT32_MAX, "changes come in ascending order");
  put_fixed(&index_, static_cast<uint32_t>(delta));
  put_fixed(&index_, mod.sub);
  put_fixed(&index_, static_cast<uint32_t>(bytes_->size()));
}

HistoryBuilder::Place HistoryBuilder::add(std::string_view key, const Record& record) {
  index(record.mod);
  const size_t begin = bytes_->size();
  put_varint(bytes_.get(), key.size());
  bytes_->append(key);
  encode_record(record, bytes_.get());
  return {static_cast<uint32_t>(begin), static_cast<uint32_t>(bytes_->size() - begin)};
}

void HistoryBuilder::add_encoded(Rev mod, std::string_view change_bytes) {
  index(mod);
  bytes_->append(change_bytes);
}

void HistoryBuilder::truncate(size_t count, size_t size) {
  index_.resize(count * kIndexEntrySize);
  bytes_->resize(size);
}

const std::string& HistoryBuilder::finish() {
  const auto n = static_cast<uint32_t>(count());
  bytes_->append(index_);
  put_fixed(bytes_.get(), n);
  return *bytes_;
}

bool HistoryReader::open(Rev first, std::string_view bytes) {
  constexpr size_t kEntry = HistoryBuilder::kIndexEntrySize;
  if (bytes.size() < 1 + sizeof(uint32_t) || bytes[0] != kHistoryFormat) return false;
  const auto n = get_fixed<uint32_t>(bytes.data() + bytes.size() - sizeof(uint32_t));
  bytes.remove_suffix(sizeof(uint32_t));
  if (n == 0 || n > (bytes.size() - 1) / kEntry) return false;
  first_ = first;
  count_ = n;
  index_ = bytes.data() + bytes.size() - n * kEntry;
  bytes_ = bytes.substr(0, bytes.size() - n * kEntry);
  // Offsets must ascend within the bytes, so that change_bytes() needs no check of its own.
  uint32_t last = 1;
  for (size_t i = 0; i < n; ++i) {
    const auto offset = get_fixed<uint32_t>(index_ + i * kEntry + 8);
    if (offset < last || offset > bytes_.size()) return false;
    last = offset;
  }
  return true;
}

Rev HistoryReader::rev(size_t i) const {
  const char* entry = index_ + i * HistoryBuilder::kIndexEntrySize;
  return {first_.main + get_fixed<uint32_t>(entry), get_fixed<uint32_t>(entry + 4)};
}

std::string_view HistoryReader::change_bytes(size_t i) const {
  const char* entry = index_ + i * HistoryBuilder::kIndexEntrySize;
  const size_t begin = get_fixed<uint32_t>(entry + 8);
  const size_t end = i + 1 < count_ ? get_fixed<uint32_t>(entry + HistoryBuilder::kIndexEntrySize + 8) : bytes_.size();
  return bytes_.substr(begin, end - begin);
}

size_t HistoryReader::lower_bound(Rev wanted) const {
  size_t low = 0, high = count_;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (rev(middle) < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

std::string encode_applied(const Applied& a) {
  std::string out;
  put_fixed(&out, a.index);
  put_fixed(&out, a.term);
  put_fixed(&out, a.revision);
  return out;
}

bool decode_applied(std::string_view bytes, Applied* a) {
  if (bytes.size() != 24) return false;
  a->index = get_fixed<uint64_t>(bytes.data());
  a->term = get_fixed<uint64_t>(bytes.data() + 8);
  a->revision = get_fixed<int64_t>(bytes.data() + 16);
  return true;
}

std::string encode_int64(int64_t n) {
  std::string out;
  put_fixed(&out, n);
  return out;
}

bool decode_int64(std::string_view bytes, int64_t* n) {
  if (bytes.size() != sizeof *n) return false;
  *n = get_fixed<int64_t>(bytes.data());
  return true;
}

}  // namespace kv::store
