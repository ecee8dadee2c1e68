#include "kvctl/dump.h"

#include <gtest/gtest.h>

#include <random>
#include <sstream>
#include <vector>

namespace kv::kvctl {
namespace {

struct Read {
  std::vector<DumpEntry> entries;
  Status status;
};

Read read(DumpFormat format, const std::string& text) {
  Read read;
  std::istringstream in(text);
  read.status = read_dump(format, in, [&](DumpEntry&& entry) -> Status {
    read.entries.push_back(std::move(entry));
    return {};
  });
  return read;
}

std::string written(DumpFormat format, const std::vector<DumpEntry>& entries) {
  std::ostringstream out;
  const auto writer = DumpWriter::create(format, out);
  writer->begin(7, "p\xff");
  for (const auto& entry : entries) writer->add(entry);
  writer->end();
  return out.str();
}

// What YAML and JSON readers are known to trip over.
std::vector<DumpEntry> strange_entries() {
  std::vector<DumpEntry> entries;
  int n = 0;
  for (const std::string& value : std::vector<std::string>{"",
                                                           "plain",
                                                           "true",
                                                           "null",
                                                           "~",
                                                           "123",
                                                           "0x10",
                                                           "- a",
                                                           "key: value",
                                                           "#no comment",
                                                           "a #b",
                                                           " lead",
                                                           "trail ",
                                                           "\n",
                                                           "\n\n",
                                                           "a\n",
                                                           "a\n\n",
                                                           "a\nb",
                                                           "a\nb\n",
                                                           "a\n b\n",
                                                           " a\nb\n",
                                                           "\ta\n",
                                                           "a\n\tb\n",
                                                           "a\r\nb\r\n",
                                                           "a\rb",
                                                           "---\na\n",
                                                           "...\n",
                                                           "a\n---\nb\n",
                                                           "a\n...\n",
                                                           "a\n\n\nb\n",
                                                           "a  \nb\n",
                                                           "{}",
                                                           "[]",
                                                           "\"",
                                                           "'",
                                                           "\\",
                                                           "\\n",
                                                           "%",
                                                           "@",
                                                           "`",
                                                           "\x01\x1f\x7f",
                                                           std::string("\0", 1),
                                                           "\xff\xfe",
                                                           "é日本😀",
                                                           "\u0085x",
                                                           "a\u2028b\n",
                                                           "a\u2029b\n",
                                                           "\ufeffbom\n",
                                                           "a\ufeff\n",
                                                           "\u009b[2J",
                                                           "key: |\n  x\n",
                                                           "x: &a b\n",
                                                           "*a",
                                                           "!!binary x",
                                                           "<<",
                                                           "=",
                                                           "2001-01-01",
                                                           "1e3",
                                                           ".inf",
                                                           "\xed\xa0\x80",
                                                           "\uffff",
                                                           std::string(100000, 'x'),
                                                           "#\n# x\n"}) {
    entries.push_back({.key = "k" + std::to_string(n++), .value = value});
    if (!value.empty()) entries.push_back({.key = value, .value = "as a key"});
  }
  entries.push_back({.key = "leased", .value = "v", .lease = 0x1234abcd, .ttl_s = 42});
  return entries;
}

TEST(Dump, Strange_keys_and_values_come_back_in_both_formats) {
  const auto entries = strange_entries();
  for (const auto format : {DumpFormat::kJson, DumpFormat::kYaml}) {
    const Read back = read(format, written(format, entries));
    ASSERT_TRUE(back.status.ok()) << back.status.text();
    ASSERT_EQ(back.entries.size(), entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      EXPECT_EQ(back.entries[i], entries[i]) << "entry " << i << " of format " << static_cast<int>(format) << "\n"
                                             << written(format, {entries[i]}).substr(0, 300);
    }
  }
}

TEST(Dump, Random_texts_come_back_in_both_formats) {
  std::mt19937 random(20261125);
  const std::vector<std::string> parts = {"a", "b ", " ",  "\n", "\t", ":",   "- ", "#",
                                          "|", ">",  "\"", "é",  "\r", "---", "\\"};
  std::vector<DumpEntry> entries;
  for (int i = 0; i < 3000; ++i) {
    std::string value;
    for (size_t n = random() % 8; n > 0; --n) value += parts[random() % parts.size()];
    entries.push_back({.key = std::to_string(i), .value = value});
  }
  for (const auto format : {DumpFormat::kJson, DumpFormat::kYaml}) {
    const Read back = read(format, written(format, entries));
    ASSERT_TRUE(back.status.ok()) << back.status.text();
    EXPECT_EQ(back.entries, entries);
  }
}

TEST(Dump, Nothing_is_an_export_too) {
  for (const auto format : {DumpFormat::kJson, DumpFormat::kYaml}) {
    const Read back = read(format, written(format, {}));
    EXPECT_TRUE(back.status.ok()) << back.status.text();
    EXPECT_TRUE(back.entries.empty());
  }
}

TEST(Dump, Yaml_has_texts_of_many_lines_as_lines) {
  EXPECT_EQ(written(DumpFormat::kYaml, {{.key = "conf", .value = "a: 1\n\nb: 2\n"}}),
            "kvctl_export: 1\nrevision: 7\nprefix_base64: \"cP8=\"\nkeys:\n"
            "- key: \"conf\"\n  value: |\n    a: 1\n\n    b: 2\ncount: 1\n");
}

TEST(Dump, What_people_write_by_hand_is_read) {
  const Read yaml = read(DumpFormat::kYaml, "- {key: a, value: 1}\n- key: b\n  value: two\n");
  EXPECT_TRUE(yaml.status.ok()) << yaml.status.text();
  EXPECT_EQ(yaml.entries, (std::vector<DumpEntry>{{"a", "1"}, {"b", "two"}}));
  EXPECT_EQ(read(DumpFormat::kJson, R"([{"value":"1","key":"a"}])").entries, (std::vector<DumpEntry>{{"a", "1"}}));
}

TEST(Dump, A_file_that_was_cut_anywhere_is_refused) {
  const std::string json = written(DumpFormat::kJson, {{"a", "1"}, {"b", "2"}});
  for (size_t size = 0; size + 1 < json.size(); ++size) {
    EXPECT_FALSE(read(DumpFormat::kJson, json.substr(0, size)).status.ok()) << json.substr(0, size);
  }
}

TEST(Dump, What_is_no_export_is_refused_with_its_place) {
  const auto error = [](DumpFormat format, const std::string& text) { return read(format, text).status.text(); };
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"", "no JSON"},
           {"{}", "\"kvctl_export\" is missing"},
           {R"({"kvctl_export":2,"keys":[]})", "version 2"},
           {R"({"kvctl_export":1,"keys":[],"count":1})", "says that it has 1 keys, and has 0"},
           {R"([{"key":"a"}])", "key \"a\" has no value"},
           {R"([{"value":"a"}])", "without a key"},
           {R"([{"key":"","value":"a"}])", "an empty key"},
           {R"([{"key":"a","value":1}])", "must be text"},
           {R"([{"key":"a","value":null}])", "must be text"},
           {R"([{"key":"a","key_base64":"YQ==","value":"x"}])", "two keys"},
           {R"([{"key_base64":"Y","value":"x"}])", "no base64"},
           {R"([{"key_base64":"Y=Q=","value":"x"}])", "no base64"},
           {R"([{"key":"a","valeu":"x"}])", "unknown field \"valeu\""},
           {R"([{"key":"a","value":"x","ttl":-1}])", "ttl is no number"},
           {R"([{"key":"a","value":"x","lease":"xyz"}])", "hexadecimal"},
           {R"([[[[]]]])", "a list where none can be"},
           {R"([{"key":"a","value":"x"}] x)", "no JSON at byte"},
           {R"("text")", "no export"}}) {
    EXPECT_NE(error(DumpFormat::kJson, text).find(part), std::string::npos) << text << "\n"
                                                                            << error(DumpFormat::kJson, text);
  }
  for (const auto& [text, part] :
       std::vector<std::pair<std::string, std::string>>{{"", "an empty file"},
                                                        {"- key: a\n  value: *b\n", "an"},
                                                        {"- key: a\n  valeu: b\n", "line 2: unknown field \"valeu\""},
                                                        {"- key: a\n  value: ~\n", "must be text"},
                                                        {"a: [", "a list where none can be"},
                                                        {"- [a]\n", "a list where none can be"},
                                                        {"- ? [a]\n  : b\n", "a list as a name"},
                                                        {"[]\n---\n[]\n", "more than one document"}}) {
    EXPECT_NE(error(DumpFormat::kYaml, text).find(part), std::string::npos) << text << "\n"
                                                                            << error(DumpFormat::kYaml, text);
    EXPECT_FALSE(read(DumpFormat::kYaml, text).status.ok()) << text;
  }
}

TEST(Dump, The_format_is_guessed_by_the_beginning) {
  for (const auto& [text, format] :
       std::vector<std::pair<std::string, DumpFormat>>{{" \n{\"a\"", DumpFormat::kJson},
                                                       {"[", DumpFormat::kJson},
                                                       {"kvctl_export: 1", DumpFormat::kYaml},
                                                       {"- key", DumpFormat::kYaml}}) {
    std::istringstream in(text);
    EXPECT_EQ(guess_format(in), format) << text;
  }
}

}  // namespace
}  // namespace kv::kvctl
