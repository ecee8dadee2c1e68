// A manual page in roff's man macros, from plain text: what may mean something to roff is escaped, so that `man` shows
// each character as it is written, and as ASCII where a shell has to take it (a '-' is no dash, a ' no quotation mark).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kv::man {

// Text that roff may read: escaped, and in the middle of a line.
class Roff {
 public:
  // Not explicit: text is what most of a page is.
  Roff(std::string_view plain);
  Roff(const char* plain) : Roff(std::string_view(plain)) {}
  Roff(const std::string& plain) : Roff(std::string_view(plain)) {}

  Roff& operator+=(const Roff& other);
  friend Roff operator+(Roff a, const Roff& b) { return a += b; }

  const std::string& text() const { return text_; }

 private:
  friend Roff bold(std::string_view plain);
  friend Roff italic(std::string_view plain);

  std::string text_;
};

Roff bold(std::string_view plain);    // what is typed as it stands
Roff italic(std::string_view plain);  // what stands for something else

class Page {
 public:
  // At its foot stand kvd's version and that version's date.
  Page(std::string_view name, int section, std::string_view manual);

  void section(std::string_view title);
  void subsection(std::string_view title);

  void paragraph(const Roff& text);
  // Help text: filled anew, with a paragraph behind each empty line.
  void prose(std::string_view text);
  // As it stands, line by line. An indentation that all lines have is dropped.
  void example(std::string_view lines);

  // A term, and below it what it means: paragraphs, examples, and further items between indent() and outdent(). It ends
  // at the next item of its own depth, or with the section.
  void item(const Roff& term);
  void item(const Roff& term, std::string_view meaning);
  void indent();
  void outdent();

  const std::string& text() const { return text_; }

 private:
  void macro(std::string_view name, std::string_view argument = {});
  void separate();
  void filled(std::string_view roff);

  std::string text_;
  // Nothing stands between here and the heading or term above: a paragraph needs no macro.
  bool fresh_ = true;
  // One for each indent() that is open, and one for the section: whether an item is.
  std::vector<bool> in_item_ = {false};
};

}  // namespace kv::man
