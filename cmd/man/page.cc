#include "man/page.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "base/utf8.h"

namespace kv::man {
namespace {

constexpr size_t kColumns = 78;  // of the source; mandoc complains about more than 80

std::string escaped(std::string_view plain) {
  std::string out;
  for (size_t i = 0; i < plain.size();) {
    const CodePoint first = decode_utf8(plain.substr(i));
    // A byte that begins no character stands for itself.
    const char32_t c = first.valid() ? first.value : static_cast<unsigned char>(plain[i]);
    i += first.length;
    switch (c) {
      case '\\': out += "\\e"; break;
      case '-': out += "\\-"; break;
      case '\'': out += "\\(aq"; break;
      case '`': out += "\\(ga"; break;
      case '^': out += "\\(ha"; break;
      case '~': out += "\\(ti"; break;
      default:
        if (c < 0x80) {
          out += static_cast<char>(c);
        } else {
          char name[16];
          std::snprintf(name, sizeof name, "\\[u%04X]", static_cast<unsigned>(c));
          out += name;
        }
    }
  }
  return out;
}

// A control character at the beginning of a line would make it a request. (An apostrophe is escaped already.)
std::string line_of(std::string_view roff) { return (roff.starts_with('.') ? "\\&" : "") + std::string(roff) + "\n"; }

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return lines;
}

}  // namespace

Roff::Roff(std::string_view plain) : text_(escaped(plain)) {}

Roff& Roff::operator+=(const Roff& other) {
  text_ += other.text_;
  return *this;
}

Roff bold(std::string_view plain) {
  Roff roff(plain);
  roff.text_ = "\\fB" + roff.text_ + "\\fR";
  return roff;
}

Roff italic(std::string_view plain) {
  Roff roff(plain);
  roff.text_ = "\\fI" + roff.text_ + "\\fR";
  return roff;
}

Page::Page(std::string_view name, int section, std::string_view manual) {
  std::string title(name);
  std::transform(title.begin(), title.end(), title.begin(), [](unsigned char c) { return std::toupper(c); });
  text_ = ".TH \"" + escaped(title) + "\" " + std::to_string(section) +
          " \"" KVD_VERSION_DATE "\" \"kvd " KVD_VERSION "\" \"" + escaped(manual) + "\"\n";
  // Names are searched for and copied: none is broken, and no line is stretched.
  text_ += ".nh\n.ad l\n";
}

void Page::macro(std::string_view name, std::string_view argument) {
  text_ += '.';
  text_ += name;
  if (!argument.empty()) {
    text_ += " \"";
    // A quotation mark in a quoted argument is written by its name.
    for (const char c : argument) text_ += c == '"' ? std::string("\\(dq") : std::string(1, c);
    text_ += '"';
  }
  text_ += '\n';
}

void Page::section(std::string_view title) {
  macro("SH", escaped(title));
  fresh_ = true;
  in_item_ = {false};
}

void Page::subsection(std::string_view title) {
  macro("SS", escaped(title));
  fresh_ = true;
  in_item_ = {false};
}

// In lines of at most kColumns, broken at spaces.
void Page::filled(std::string_view roff) {
  roff = roff.substr(0, roff.find_last_not_of(' ') + 1);
  while (!roff.empty()) {
    size_t end = roff.size();
    if (end > kColumns) {
      end = roff.rfind(' ', kColumns);
      if (end == roff.npos || end == 0) end = std::min(roff.find(' ', kColumns), roff.size());
    }
    text_ += line_of(roff.substr(0, end));
    // A line that began with a space would not be filled.
    roff.remove_prefix(std::min(roff.find_first_not_of(' ', end), roff.size()));
  }
}

// PP would end the item.
void Page::separate() {
  if (!fresh_) macro(in_item_.back() ? "IP" : "PP");
  fresh_ = false;
}

void Page::paragraph(const Roff& text) {
  separate();
  filled(text.text());
}

void Page::prose(std::string_view text) {
  std::string together;
  const auto end_paragraph = [&] {
    if (!together.empty()) paragraph(together);
    together.clear();
  };
  for (const std::string_view line : lines_of(text)) {
    if (line.empty()) {
      end_paragraph();
    } else {
      together += (together.empty() ? "" : " ") + std::string(line);
    }
  }
  end_paragraph();
}

void Page::example(std::string_view lines) {
  const std::vector<std::string_view> all = lines_of(lines);
  size_t common = std::string_view::npos;
  for (const std::string_view line : all) {
    if (const size_t indentation = line.find_first_not_of(' '); indentation != line.npos)
      common = std::min(common, indentation);
  }
  // Indented by as much as the item's text is, or by four.
  if (in_item_.back()) {
    macro("RS");
  } else {
    macro("RS", "4");
  }
  if (!fresh_) macro("sp");
  macro("EX");
  for (const std::string_view line : all) {
    // An empty line of roff's is written as one that has nothing in it.
    const std::string_view rest = line.substr(std::min(common, line.size()));
    text_ += rest.empty() ? "\\&\n" : line_of(escaped(rest));
  }
  macro("EE");
  macro("RE");
  fresh_ = false;
}

void Page::item(const Roff& term) {
  macro("TP");
  text_ += line_of(term.text());
  fresh_ = true;
  in_item_.back() = true;
}

void Page::item(const Roff& term, std::string_view meaning) {
  item(term);
  prose(meaning);
}

void Page::indent() {
  macro("RS");
  fresh_ = true;
  in_item_.push_back(false);
}

void Page::outdent() {
  macro("RE");
  fresh_ = false;
  in_item_.pop_back();
}

}  // namespace kv::man
