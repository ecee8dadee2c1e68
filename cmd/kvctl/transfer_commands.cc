// export and import: keys to a file, and from a file or a running cluster.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <ostream>
#include <utility>

#include "kvctl/commands.h"
#include "kvctl/dump.h"
#include "kvctl/go_format.h"
#include "kvctl/importer.h"
#include "kvctl/key_pages.h"
#include "kvctl/progress.h"
#include "kvctl/signals.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;

// What the lease of a key has left; asked once for each lease.
class LeaseTimes {
 public:
  LeaseTimes(Client& client, const client::CallOptions& call) : client_(client), call_(call) {}

  Status fill(const client::KeyValue& kv, DumpEntry& entry) {
    if (kv.lease == 0) return {};
    auto known = ttl_s_.find(kv.lease);
    if (known == ttl_s_.end()) {
      const auto asked = client_.lease_time_to_live(kv.lease, false, call_);
      if (!asked.ok()) return asked.status();
      known = ttl_s_.emplace(kv.lease, std::max<int64_t>(asked->ttl_s, 0)).first;
    }
    entry.lease = kv.lease;
    entry.ttl_s = known->second;
    return {};
  }

 private:
  Client& client_;
  const client::CallOptions call_;
  std::map<int64_t, int64_t> ttl_s_{};
};

std::optional<DumpFormat> format_named(const std::string& name) {
  if (name == "json") return DumpFormat::kJson;
  if (name == "yaml") return DumpFormat::kYaml;
  return std::nullopt;
}

std::optional<DumpFormat> format_of_file(const std::string& path) {
  if (path.ends_with(".json")) return DumpFormat::kJson;
  if (path.ends_with(".yaml") || path.ends_with(".yml")) return DumpFormat::kYaml;
  return std::nullopt;
}

// ---- export ----

struct ExportFlags {
  std::string output;
  std::string format;
  int64_t rev = 0;
};

// A file that appears under its name when it is whole. Only its owner may read it: values may be secrets.
class OutputFile {
 public:
  ~OutputFile() {
    if (!part_.empty()) ::unlink(part_.c_str());
  }
  bool open(const std::string& path) {
    part_ = path + ".part";
    path_ = path;
    const mode_t before = ::umask(077);
    stream.open(part_, std::ios::binary | std::ios::trunc);
    ::umask(before);
    return stream.is_open();
  }
  bool finish() {
    stream.close();
    if (!stream || std::rename(part_.c_str(), path_.c_str()) != 0) return false;
    part_.clear();
    return true;
  }
  std::ofstream stream;

 private:
  std::string part_, path_;
};

Exit run_export(const Context& context, const ExportFlags& flags, const Arguments& arguments) {
  if (arguments.size() > 1)
    return bad_args("export takes at most one argument, a prefix", "The file is named with -o.");
  const bool to_file = !flags.output.empty() && flags.output != "-";
  auto format = flags.format.empty() ? format_of_file(flags.output) : format_named(flags.format);
  if (!format && !flags.format.empty())
    return bad_feature("unknown format " + flags.format, "--format takes json or yaml.");
  if (!format) format = DumpFormat::kJson;
  const Signals signals;
  auto made = context.client();
  if (auto* exit = std::get_if<Exit>(&made)) return std::move(*exit);
  Client& client = *std::get<0>(made);
  const auto call = context.call_options();
  const std::string prefix = arguments.empty() ? "" : arguments[0];
  const KeyRange range = prefix_range(prefix);
  KeyPages pages(client, range, flags.rev, call);
  KeyCursor keys(pages);
  // The first read says the revision, and whether there is anything to begin a file for.
  auto next = keys.next();
  if (!next.ok()) return read_failed(client, range, next.status(), call);

  OutputFile file;
  if (to_file && !file.open(flags.output)) {
    return {kExitIo, flags.output + ".part can't be written",
            "Name another file with -o, or none for the standard output."};
  }
  std::ostream& out = to_file ? file.stream : context.out;
  const auto writer = DumpWriter::create(*format, out);
  writer->begin(pages.revision(), prefix);
  LeaseTimes leases(client, call);
  uint64_t done = 0;
  {
    Progress progress(context.err, context.err_terminal.is_terminal, "Exporting", Progress::Unit::kKeys);
    while (*next != nullptr && out) {
      DumpEntry entry{.key = (*next)->key, .value = (*next)->value};
      if (const Status filled = leases.fill(**next, entry); !filled.ok()) return failed(filled);
      writer->add(entry);
      ++done;
      if (to_file) progress.show(done, static_cast<uint64_t>(pages.count()));
      if (signals.received()) return {kExitError, "interrupted", to_file ? "No file was made." : ""};
      next = keys.next();
      if (!next.ok()) return read_failed(client, range, next.status(), call);
    }
  }
  writer->end();
  out.flush();
  if (to_file && !file.finish()) return {kExitIo, flags.output + " could not be written"};
  if (!to_file) return {};
  context.out << "exported " << done << (done == 1 ? " key" : " keys") << " at revision " << pages.revision() << " to "
              << flags.output << '\n';
  return {};
}

// ---- import ----

struct ImportFlags {
  std::string format;
  bool dry_run = false;
  bool overwrite = false;
  bool if_absent = false;
  bool leases = false;
  bool verify = true;
  std::string prefix_from;
  std::string prefix_to;
  // Of the cluster to copy from.
  std::vector<std::string> from_etcd;
  std::string cert;
  std::string key;
  std::string cacert;
  bool insecure_transport = true;
  std::string user;
  std::string password;

  void declare(Flags& flags) {
    flags.add("format", format, "of the file: json or yaml (default: by its name, or how it begins)");
    flags.add("dry-run", dry_run, "write nothing, and say what would be done");
    flags.add("overwrite", overwrite, "put the new value where another is");
    flags.add("if-absent", if_absent, "leave keys alone that are there");
    flags.add("leases", leases, "give keys that had a lease a new one, for the time that was left");
    flags.add("prefix-from", prefix_from, "take only keys with this prefix");
    flags.add("prefix-to", prefix_to, "what stands in place of --prefix-from (default: nothing)");
    flags.add("from-etcd", from_etcd, "copy from the running cluster at these endpoints, etcd's or kvd's");
    flags.add("verify", verify, "with --from-etcd: compare all keys at the end");
    flags.add("from-cert", cert, "this client's TLS certificate for --from-etcd");
    flags.add("from-key", key, "the key of --from-cert");
    flags.add("from-cacert", cacert, "CA certificates to verify --from-etcd with");
    flags.add("from-insecure-transport", insecure_transport, "no TLS for endpoints of --from-etcd without a scheme");
    flags.add("from-user", user, "name, or name:password, at --from-etcd");
    flags.add("from-password", password, "password of --from-user");
  }
};

constexpr const char* kExistingHint =
    "Give --overwrite to put the new values, or --if-absent to keep those that are there.";

Exit import_failed(const Status& status, const ImportCounts& counts) {
  Exit exit = status.code() == Code::kInvalidArgument || status.code() == Code::kAborted
                  ? Exit{kExitInvalidInput, status.text()}
                  : failed(status);
  if (status.code() == Code::kAlreadyExists) exit = {kExitError, status.text(), kExistingHint};
  if (status.code() == Code::kCanceled) exit = {kExitError, "interrupted"};
  const int64_t written = counts.created + counts.overwritten;
  if (written > 0) {
    if (!exit.hint.empty()) exit.hint += ' ';
    exit.hint += std::to_string(written) +
                 " keys were written before. The same command goes on from there: it leaves alone what has its value.";
  }
  return exit;
}

void print_counts(const Context& context, const ImportCounts& counts, bool dry_run) {
  const int64_t taken = counts.all() - counts.left_out;
  context.out << (dry_run ? "would import " : "imported ") << taken << (taken == 1 ? " key: " : " keys: ")
              << counts.created << " created, " << counts.overwritten << " overwritten, " << counts.unchanged
              << " unchanged, " << counts.skipped << " skipped";
  if (counts.refused > 0)
    context.out << ", " << counts.refused << " refused (such as " << go_quote(counts.refused_key) << ')';
  if (counts.left_out > 0) context.out << "; " << counts.left_out << " without the prefix";
  context.out << '\n';
  if (counts.lease_dropped > 0) {
    context.err << counts.lease_dropped << " keys had a lease and have none now: see --leases.\n";
  }
}

Exit refused_before(const ImportCounts& counts) {
  return {kExitError,
          std::to_string(counts.refused) + (counts.refused == 1 ? " key is" : " keys are") +
              " there with another value, such as " + go_quote(counts.refused_key) + ": nothing was written",
          kExistingHint};
}

// A file is read twice: what is no export, or would be refused, is so before anything is written. The standard input
// can be read once only.
Exit import_file(const Context& context, const ImportFlags& flags, ImportOptions options, Client& client,
                 const Signals& signals, const std::string& path) {
  const bool from_input = path == "-";
  std::optional<DumpFormat> format = format_named(flags.format);
  if (!format) format = format_of_file(path);
  const auto read = [&](const std::function<Status(DumpEntry &&)>& take) -> Status {
    std::ifstream file;
    if (!from_input) {
      file.open(path, std::ios::binary);
      if (!file.is_open()) return {Code::kInvalidArgument, path + " can't be opened"};
    }
    std::istream& in = from_input ? context.in : file;
    const DumpFormat found = guess_format(in);
    return read_dump(format.value_or(found), in, [&](DumpEntry&& entry) -> Status {
      if (signals.received()) return {Code::kCanceled, "interrupted"};
      return take(std::move(entry));
    });
  };

  uint64_t total = 0;
  if (!from_input) {
    ImportOptions looking = options;
    looking.dry_run = true;
    Importer looker(client, looking);
    const bool asks = options.dry_run || options.existing == ImportOptions::Existing::kRefuse;
    Status looked = read([&](DumpEntry&& entry) {
      ++total;
      return asks ? looker.add(std::move(entry)) : Status();
    });
    if (looked.ok()) looked = looker.flush();
    if (!looked.ok()) return import_failed(looked, {});
    if (options.dry_run) {
      print_counts(context, looker.counts(), true);
      return {};
    }
    if (looker.counts().refused > 0) return refused_before(looker.counts());
  }
  Importer importer(client, options);
  Progress progress(context.err, context.err_terminal.is_terminal, "Importing", Progress::Unit::kKeys);
  uint64_t done = 0;
  Status imported = read([&](DumpEntry&& entry) {
    if (!from_input) progress.show(++done, total);
    return importer.add(std::move(entry));
  });
  if (imported.ok()) imported = importer.flush();
  progress.end();
  if (!imported.ok()) return import_failed(imported, importer.counts());
  print_counts(context, importer.counts(), options.dry_run);
  return {};
}

// Both sides are read in the order of their keys, which renaming a prefix doesn't change.
Exit verify(const Context& context, Client& source, Client& destination, const ImportOptions& options, int64_t revision,
            uint64_t total) {
  KeyPages source_pages(source, prefix_range(options.prefix_from), revision, options.call);
  KeyPages there_pages(destination, prefix_range(options.prefix_to), 0, options.call);
  KeyCursor source_keys(source_pages), there_keys(there_pages);
  Progress progress(context.err, context.err_terminal.is_terminal, "Comparing", Progress::Unit::kKeys);
  int64_t equal = 0, missing = 0, different = 0;
  std::string example;
  auto there = there_keys.next();
  for (;;) {
    if (!there.ok()) return failed(there.status());
    const auto wanted = source_keys.next();
    if (!wanted.ok()) return failed(wanted.status());
    if (*wanted == nullptr) break;
    const std::string key = options.prefix_to + (*wanted)->key.substr(options.prefix_from.size());
    while (there.ok() && *there != nullptr && (*there)->key < key) there = there_keys.next();
    if (!there.ok()) continue;
    if (*there == nullptr || (*there)->key != key) {
      if (missing++ + different == 0) example = key;
    } else if ((*there)->value != (*wanted)->value) {
      if (different++ + missing == 0) example = key;
    } else {
      ++equal;
    }
    progress.show(static_cast<uint64_t>(equal + missing + different), total);
  }
  progress.end();
  const std::string others = std::to_string(missing) + " missing, " + std::to_string(different) + " different";
  if (missing > 0 || (different > 0 && options.existing != ImportOptions::Existing::kSkip)) {
    return {kExitError,
            "verified: " + std::to_string(equal) + " keys are equal, " + others + ", such as " + go_quote(example),
            "Somebody else may be writing at the destination; the same command copies again what differs."};
  }
  context.out << "verified: " << equal << (equal == 1 ? " key is" : " keys are") << " equal";
  if (different > 0) context.out << ", " << different << " were kept as they were";
  context.out << '\n';
  return {};
}

Exit import_cluster(const Context& context, const ImportFlags& flags, const ImportOptions& options, Client& client,
                    const Signals& signals) {
  Context there{.globals = context.globals, .in = context.in, .out = context.out, .err = context.err};
  there.globals.cert = flags.cert;
  there.globals.key = flags.key;
  there.globals.cacert = flags.cacert;
  there.globals.insecure_transport = flags.insecure_transport;
  there.globals.user = flags.user;
  there.globals.password = flags.password;
  there.globals.token.clear();
  auto made = there.client_for(flags.from_etcd);
  if (auto* exit = std::get_if<Exit>(&made)) return std::move(*exit);
  Client& source = *std::get<0>(made);

  KeyPages pages(source, prefix_range(options.prefix_from), 0, options.call);
  KeyCursor keys(pages);
  Importer importer(client, options);
  LeaseTimes leases(source, options.call);
  Progress progress(context.err, context.err_terminal.is_terminal, "Copying", Progress::Unit::kKeys);
  uint64_t done = 0;
  for (;;) {
    const auto next = keys.next();
    if (!next.ok()) {
      Exit exit = import_failed(next.status(), importer.counts());
      if (is_compacted(next.status()))
        exit.hint = "The source compacted its history meanwhile. The same command goes on.";
      return exit;
    }
    if (*next == nullptr) break;
    DumpEntry entry{.key = (*next)->key, .value = (*next)->value};
    Status s = signals.received() ? Status(Code::kCanceled, "interrupted") : leases.fill(**next, entry);
    if (s.ok()) s = importer.add(std::move(entry));
    if (!s.ok()) return import_failed(s, importer.counts());
    progress.show(++done, static_cast<uint64_t>(pages.count()));
  }
  if (const Status s = importer.flush(); !s.ok()) return import_failed(s, importer.counts());
  progress.end();
  print_counts(context, importer.counts(), options.dry_run);
  if (options.dry_run || !flags.verify) return {};
  return verify(context, source, client, options, pages.revision(), done);
}

Exit run_import(const Context& context, const ImportFlags& flags, const Arguments& arguments) {
  const bool from_cluster = !flags.from_etcd.empty();
  if (from_cluster ? !arguments.empty() : arguments.size() != 1) {
    return bad_args("import takes one file, or --from-etcd with endpoints",
                    "'-' is the standard input: kvctl export | kvctl --endpoints OTHER import -");
  }
  if (flags.overwrite && flags.if_absent) {
    return bad_args("`--overwrite` and `--if-absent` cannot be set at the same time, choose one");
  }
  if (!flags.format.empty() && !format_named(flags.format)) {
    return bad_feature("unknown format " + flags.format, "--format takes json or yaml.");
  }
  using Existing = ImportOptions::Existing;
  const ImportOptions options{.existing = flags.overwrite   ? Existing::kOverwrite
                                          : flags.if_absent ? Existing::kSkip
                                                            : Existing::kRefuse,
                              .dry_run = flags.dry_run,
                              .leases = flags.leases,
                              .prefix_from = flags.prefix_from,
                              .prefix_to = flags.prefix_to,
                              .call = context.call_options()};
  const Signals signals;
  auto made = context.client();
  if (auto* exit = std::get_if<Exit>(&made)) return std::move(*exit);
  if (from_cluster) return import_cluster(context, flags, options, *std::get<0>(made), signals);
  return import_file(context, flags, options, *std::get<0>(made), signals, arguments[0]);
}

}  // namespace

void add_transfer_commands(Command& root, Context& context) {
  auto dump = std::make_unique<Command>();
  dump->name = "export";
  dump->arguments = "[options] [prefix]";
  dump->summary = "Writes keys to a file, as JSON or YAML";
  dump->description =
      "Writes all keys, or those with a prefix, as they are at one revision, to a file or the standard output. A key "
      "or\n"
      "value that is no UTF-8 stands in base64 in a field of that name. `kvctl import` reads both formats.\n\n"
      "A file appears when it is whole, and only its owner may read it.";
  dump->examples =
      "  kvctl export -o keys.json\n"
      "  kvctl export /config/ -o config.yaml\n"
      "  kvctl export --format yaml | less";
  dump->group = kToolsGroup;
  const auto dump_flags = std::make_shared<ExportFlags>();
  dump->flags.add("output,o", dump_flags->output, "the file (default: standard output)");
  dump->flags.add("format", dump_flags->format, "json or yaml (default: by the file's name, else json)");
  dump->flags.add("rev", dump_flags->rev, "keys as they were at this revision (0: now)");
  dump->run = [&context, dump_flags](const Arguments& arguments) {
    return run_export(context, *dump_flags, arguments);
  };
  root.children.push_back(std::move(dump));

  auto load = std::make_unique<Command>();
  load->name = "import";
  load->arguments = "[options] <file>";
  load->summary = "Puts keys from a file, or from a running etcd";
  load->description =
      "Puts the keys of an export, or with --from-etcd of a running cluster, which are compared at the end. A key "
      "that\n"
      "is there with another value is an error, unless --overwrite or --if-absent is given; a file is looked through "
      "for\n"
      "that before anything is written. A key that has its value is left alone: an import that was interrupted is gone "
      "on\n"
      "with by the same command.\n\n"
      "History, users, roles and alarms are not copied.";
  load->examples =
      "  kvctl import keys.json\n"
      "  kvctl import config.yaml --prefix-from /config/ --prefix-to /test/config/ --dry-run\n"
      "  kvctl import --from-etcd old-1:2379,old-2:2379";
  load->group = kToolsGroup;
  const auto load_flags = std::make_shared<ImportFlags>();
  load_flags->declare(load->flags);
  load->run = [&context, load_flags](const Arguments& arguments) {
    return run_import(context, *load_flags, arguments);
  };
  root.children.push_back(std::move(load));
}

}  // namespace kv::kvctl
