#include "kvctl/dump.h"

#include <cctype>
#include <istream>

#include "kvctl/dump_codecs.h"

namespace kv::kvctl {

std::unique_ptr<DumpWriter> DumpWriter::create(DumpFormat format, std::ostream& out) {
  return format == DumpFormat::kJson ? make_json_dump_writer(out) : make_yaml_dump_writer(out);
}

Status read_dump(DumpFormat format, std::istream& in, const std::function<Status(DumpEntry&&)>& take) {
  DumpBuilder builder(take);
  return format == DumpFormat::kJson ? read_json_dump(in, builder) : read_yaml_dump(in, builder);
}

DumpFormat guess_format(std::istream& in) {
  int next = in.peek();
  while (next != std::istream::traits_type::eof() && std::isspace(next) != 0) {
    in.get();
    next = in.peek();
  }
  return next == '{' || next == '[' ? DumpFormat::kJson : DumpFormat::kYaml;
}

}  // namespace kv::kvctl
