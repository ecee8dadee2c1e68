// The two formats of exports, behind dump.h.
#pragma once

#include <iosfwd>
#include <memory>

#include "kvctl/dump_builder.h"

namespace kv::kvctl {

std::unique_ptr<DumpWriter> make_json_dump_writer(std::ostream& out);
std::unique_ptr<DumpWriter> make_yaml_dump_writer(std::ostream& out);
Status read_json_dump(std::istream& in, DumpBuilder& builder);
Status read_yaml_dump(std::istream& in, DumpBuilder& builder);

}  // namespace kv::kvctl
