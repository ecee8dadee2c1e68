// edit: a value in the user's editor, written back only if nobody else changed it meanwhile.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <ostream>
#include <utility>

#include "base/utf8.h"
#include "kvctl/child_process.h"
#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "kvctl/signals.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;

std::string chosen_editor(const VariableReader& variable) {
  for (const char* name : {"VISUAL", "EDITOR"}) {
    if (const char* editor = variable(name); editor != nullptr && *editor != '\0') return editor;
  }
  return "vi";
}

// The end of a key's name, from which editors know what is in a file: ".yaml".
std::string ending(const std::string& key) {
  const size_t dot = key.find_last_of("./");
  if (dot == key.npos || key[dot] == '/' || key.size() - dot > 12) return "";
  const std::string text = key.substr(dot);
  const bool plain =
      text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.") == text.npos;
  return plain ? text : "";
}

// A file that only its owner may read. It is deleted at the end, unless it is kept.
class EditedFile {
 public:
  EditedFile() = default;
  ~EditedFile() {
    if (!path_.empty() && !kept_) ::unlink(path_.c_str());
  }
  EditedFile(const EditedFile&) = delete;
  EditedFile& operator=(const EditedFile&) = delete;

  Status create(const std::string& directory, const std::string& file_ending, std::string_view text) {
    std::string path = directory + "/kvctl-edit-XXXXXX" + file_ending;
    const int fd = ::mkstemps(path.data(), static_cast<int>(file_ending.size()));  // with mode 0600
    if (fd < 0) return {Code::kInternal, "no file in " + directory + ": " + ::strerror(errno)};
    path_ = path;
    while (!text.empty()) {
      const ssize_t n = ::write(fd, text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        const Status failed(Code::kInternal, path_ + ": " + ::strerror(errno));
        ::close(fd);
        return failed;
      }
      text.remove_prefix(static_cast<size_t>(n));
    }
    ::close(fd);
    return {};
  }
  // Read anew by its name: editors replace files.
  Result<std::string> read() const {
    std::ifstream file(path_, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file.is_open() || file.bad()) return Status(Code::kInternal, path_ + " can't be read");
    return text;
  }
  const std::string& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  std::string path_;
  bool kept_ = false;
};

std::string for_shell(const std::string& word) {
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

// Writes `text` if the key is as it was read; `changed` is set when it isn't.
Status write_back(Client& client, const std::string& key, const std::optional<client::KeyValue>& before,
                  const std::string& text, const client::CallOptions& call, client::TxnResponse* done) {
  const int64_t revision = before ? before->mod_revision : 0;
  auto committed = client.commit(client::Txn()
                                     .when({client::compare_mod_revision(key, client::Comparison::kEqual, revision)})
                                     .then({client::put_op(key, text, {.ignore_lease = before.has_value()})})
                                     .otherwise({client::get_op(key)}),
                                 call);
  if (!committed.ok()) return committed.status();
  *done = *std::move(committed);
  return {};
}

Exit kept(EditedFile& file, std::string error, const std::string& advice) {
  file.keep();
  return {kExitError, std::move(error), "Your text is in " + file.path() + ". " + advice};
}

Exit changed_meanwhile(EditedFile& file, const std::string& key, int64_t revision, const client::TxnResponse& done) {
  const client::GetResponse* now =
      done.responses.empty() ? nullptr : std::get_if<client::GetResponse>(&done.responses[0].answer);
  const bool deleted = now == nullptr || now->kvs.empty();
  const std::string name = for_shell(key);
  const std::string to = deleted ? "0" : std::to_string(now->kvs[0].mod_revision);
  std::string advice;
  if (revision > 0)
    advice = "See what the other did: kvctl diff " + std::to_string(revision) + ' ' + to + ' ' + name + "; then e";
  if (advice.empty()) advice = "E";
  advice +=
      "dit again: kvctl edit " + name + "; or put yours over it: kvctl put " + name + " < " + for_shell(file.path());
  return kept(file,
              "key " + go_quote(key) + (deleted ? " was deleted" : " was changed") + " meanwhile" +
                  (deleted ? "" : " (at revision " + to + ")") + ": nothing was written",
              advice);
}

Exit run_edit(const Context& context, const VariableReader& variable, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("edit takes one key", "kvctl edit config");
  const std::string& key = arguments[0];
  if (context.globals.write_out != "simple") {
    return bad_feature(context.globals.write_out + " not supported as output format", "edit prints nothing but OK.");
  }
  // Ctrl-C in an editor is for the editor.
  const Signals signals;
  auto made = context.client();
  if (auto* exit = std::get_if<Exit>(&made)) return std::move(*exit);
  Client& client = *std::get<0>(made);
  const auto got = client.get(key, {}, context.call_options());
  if (!got.ok()) return failed(got.status());
  std::optional<client::KeyValue> before;
  if (!got->kvs.empty()) before = got->kvs[0];
  const std::string old_text = before ? before->value : "";
  if (!is_utf8(old_text) || old_text.find('\0') != old_text.npos) {
    const std::string name = for_shell(key);
    return {kExitError, "the value of " + go_quote(key) + " is no text",
            "Get it as a file, and put that back: kvctl get --print-value-only " + name +
                " | head -c -1 > FILE; kvctl put " + name + " < FILE"};
  }

  EditedFile file;
  const char* tmp = variable("TMPDIR");
  if (const Status s = file.create(tmp != nullptr && *tmp != '\0' ? tmp : "/tmp", ending(key), old_text); !s.ok()) {
    return {kExitError, s.text(), "Name another directory with TMPDIR."};
  }
  context.out.flush();
  const std::string editor = chosen_editor(variable);
  const ChildExit ended = run_child({"/bin/sh", "-c", editor + " \"$1\"", "sh", file.path()}, {}, ChildInput::kOurs);
  if (!ended.error.empty()) {
    file.keep();
    return {kExitError, "the editor failed: " + ended.error,
            "Nothing was written; the file is " + file.path() +
                ". Another editor is named by VISUAL or EDITOR (now: " + editor + ")."};
  }
  auto text = file.read();
  if (!text.ok()) return {kExitError, text.status().text()};
  // Editors end a file with a newline, which a value without one doesn't have.
  if (!old_text.ends_with('\n') && text->ends_with('\n')) text->pop_back();
  if (*text == old_text) {
    context.out << (before ? "unchanged\n" : "nothing was written: no key is made without a text\n");
    return {};
  }
  client::TxnResponse done;
  if (const Status s = write_back(client, key, before, *text, context.call_options(), &done); !s.ok()) {
    const Exit exit = failed(s);
    return kept(file, exit.error,
                "Put it in when that is mended: kvctl put --ignore-lease=" + std::string(before ? "true " : "false ") +
                    for_shell(key) + " < " + for_shell(file.path()));
  }
  if (!done.succeeded) return changed_meanwhile(file, key, before ? before->mod_revision : 0, done);
  context.out << Paint(context.out_terminal)(Style::kGood, "OK") << '\n';
  return {};
}

}  // namespace

void add_edit_command(Command& root, Context& context, const VariableReader& variable) {
  auto command = std::make_unique<Command>();
  command->name = "edit";
  command->arguments = "<key>";
  command->summary = "Opens a value in your editor and writes it back";
  command->description =
      "Opens the value of a key in the editor that VISUAL or EDITOR name (else vi), and writes it back if the key is "
      "as it\n"
      "was. When somebody changed it meanwhile nothing is written, your text is kept in a file, and its name is "
      "told.\n\n"
      "A key that doesn't exist is made. Its lease a key keeps. A newline that an editor puts at the end of a value\n"
      "without one is taken off.";
  command->examples =
      "  kvctl edit config\n"
      "  EDITOR=nano kvctl edit /services/web.yaml";
  command->group = kKeysGroup;
  command->run = [&context, variable](const Arguments& arguments) { return run_edit(context, variable, arguments); };
  root.children.push_back(std::move(command));
}

}  // namespace kv::kvctl
