// Keys in a file that people can read and other tools can make: what `kvctl export` writes and `kvctl import` reads.
// docs/formats.md, "Exports", tells the format. Both ways stream: one key is in memory at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kv::kvctl {

inline constexpr int kDumpVersion = 1;

struct DumpEntry {
  std::string key{};
  std::string value{};
  int64_t lease = 0;  // the id of the lease it hung on; keys with one id shared it
  int64_t ttl_s = 0;  // what that lease had left

  bool operator==(const DumpEntry&) const = default;
};

enum class DumpFormat : unsigned char { kJson, kYaml };

class DumpWriter {
 public:
  virtual ~DumpWriter() = default;

  virtual void begin(int64_t revision, std::string_view prefix) = 0;
  virtual void add(const DumpEntry& entry) = 0;
  // With the number of entries, by which a file that was cut is told from a whole one.
  virtual void end() = 0;

  // The stream outlives it; its state says whether all could be written.
  static std::unique_ptr<DumpWriter> create(DumpFormat format, std::ostream& out);
};

// Gives the entries of a file to `take`, whose error ends it. InvalidArgument, with the place, for what is no export:
// unknown fields, a key without a value, another version, another number of entries than the file says.
Status read_dump(DumpFormat format, std::istream& in, const std::function<Status(DumpEntry&&)>& take);

// By what a file begins with: '{' or '[' is JSON. Takes nothing from the stream but white space.
DumpFormat guess_format(std::istream& in);

}  // namespace kv::kvctl
