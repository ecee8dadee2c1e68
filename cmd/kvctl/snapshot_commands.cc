// snapshot save, status and restore, and hashkv of what lies on disk: etcdctl's and etcdutl's.
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <utility>

#include "kvctl/client_options.h"
#include "kvctl/commands.h"
#include "kvctl/go_format.h"
#include "kvctl/progress.h"
#include "kvctl/signals.h"
#include "kvctl/snapshot_file.h"
#include "server/backup_checkpoint.h"
#include "server/cold_state.h"
#include "server/identity.h"
#include "server/member.h"
#include "server/restore.h"
#include "store/backup_file.h"

namespace kv::kvctl {
namespace {

using Arguments = std::vector<std::string>;

constexpr size_t kStepBytes = 1 << 20;

// A backup may come faster than the disk takes it, so nothing is read ahead: what waits for the disk waits at the
// server. But a server is far too slow then if it is far away and sends little at a time, as etcd does (32 KiB): such a
// one is asked again, and read ahead of.
constexpr size_t kSmallPieceBytes = 256 << 10;
constexpr uint64_t kMuchBytes = 16 << 20;

// What is done with files has no server that words its errors.
Exit file_error(const Status& status, int code = kExitError) { return {code, status.text()}; }

bool is_terminal(const std::ostream& stream) { return &stream == &std::cerr && ::isatty(STDERR_FILENO) == 1; }

// ---- save ----

Exit save_from_server(const Context& context, const std::string& path, bool with_timeout) {
  const auto& endpoints = context.globals.endpoints;
  if (endpoints.size() != 1) {
    return {kExitInterrupted,
            "snapshot must be requested to one selected node, not multiple [" + join(endpoints, " ") + "]",
            "Members may be at different revisions: name one with --endpoints."};
  }
  const Signals signals;  // before the client's threads
  auto asked = client_options(context, endpoints);
  if (auto* exit = std::get_if<Exit>(&asked)) return std::move(*exit);
  auto& connection = std::get<ClientOptions>(asked);
  SnapshotFile file(path);
  if (const Status opened = file.open(); !opened.ok()) return file_error(opened, kExitInterrupted);
  Progress progress(context.err, is_terminal(context.err), "Fetching");
  std::string version;
  bool small_pieces = false;
  const auto take = [&](const client::SnapshotPart& part) -> Status {
    small_pieces = part.bytes.size() < kSmallPieceBytes && part.remaining_bytes > kMuchBytes;
    if (small_pieces && !connection.read_ahead) return {Code::kAborted, "small pieces"};
    version = part.version;
    KV_RETURN_IF_ERROR(file.add(part.bytes));
    progress.show(file.bytes(), file.bytes() + part.remaining_bytes);
    return {};
  };
  const auto options = with_timeout ? context.call_options() : client::CallOptions{};
  Status received;
  for (const bool read_ahead : {false, true}) {
    connection.read_ahead = read_ahead;
    const auto client = Client::create(connection);
    if (!client.ok()) return bad_args(client.status().text());
    received = (*client)->snapshot(take, options, signals.token());
    if (!small_pieces) break;
  }
  progress.end();
  if (!received.ok()) return failed(received, kExitInterrupted);
  if (const Status saved = file.finish(); !saved.ok()) return file_error(saved, kExitInterrupted);
  context.out << "Snapshot saved at " << path << '\n';
  if (!version.empty()) context.out << "Server version " << version << '\n';
  return {};
}

Status save_cold(const Context& context, const std::string& data_dir, const Signals& signals, SnapshotFile& file,
                 std::string* version) {
  auto cold = server::ColdState::open(data_dir);
  if (!cold.ok()) return cold.status();
  const std::string checkpoint = (*cold)->workplace() + "/checkpoint";
  const auto info =
      server::checkpoint_for_backup((*cold)->state(), checkpoint, (*cold)->cluster_id(), (*cold)->member_id());
  if (!info.ok()) return info.status();
  *version = info->storage_version;
  auto encoder = store::BackupEncoder::open(checkpoint, *info);
  if (!encoder.ok()) return encoder.status();
  Progress progress(context.err, is_terminal(context.err), "Copying");
  std::string bytes;
  do {
    if (signals.received()) return {Code::kCanceled, "interrupted"};
    KV_RETURN_IF_ERROR((*encoder)->read(kStepBytes, &bytes));
    KV_RETURN_IF_ERROR(file.add(bytes));
    progress.show(file.bytes(), (*encoder)->size_bytes());
  } while (!bytes.empty());
  return {};
}

Exit save_from_directory(const Context& context, const std::string& data_dir, const std::string& path) {
  const Signals signals;
  SnapshotFile file(path);
  if (const Status opened = file.open(); !opened.ok()) return file_error(opened, kExitInterrupted);
  std::string version;
  Status saved = save_cold(context, data_dir, signals, file, &version);
  if (saved.ok()) saved = file.finish();
  if (!saved.ok()) return file_error(saved, kExitInterrupted);
  context.out << "Snapshot saved at " << path << "\nServer version " << version << '\n';
  return {};
}

// ---- status and hashkv ----

Result<SnapshotStatus> status_of_file(const std::string& path) {
  auto file = store::BackupFile::open(path);
  if (!file.ok()) return file.status();
  KV_RETURN_IF_ERROR((*file)->verify(true));
  const store::BackupInfo& info = (*file)->info();
  return SnapshotStatus{.hash = (*file)->hash(),
                        .revision = info.revision,
                        .keys = info.keys,
                        .bytes = (*file)->size_bytes(),
                        .version = info.storage_version};
}

Result<SnapshotStatus> status_of_directory(const std::string& path) {
  auto cold = server::ColdState::open(path);
  if (!cold.ok()) return cold.status();
  const auto hash = (*cold)->state().hash_kv(0);
  if (!hash.ok()) return hash.status();
  const store::StoreStats stats = (*cold)->state().stats();
  return SnapshotStatus{.hash = hash->hash,
                        .revision = stats.revision,
                        .keys = stats.keys,
                        .bytes = stats.bytes_on_disk,
                        .version = std::string(server::kClusterVersion)};
}

Exit run_status(const Context& context, const Arguments& arguments) {
  if (arguments.size() != 1) return bad_args("snapshot status requires exactly one argument");
  auto printer = context.printer_for(Printed::kSnapshots);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  std::error_code ignored;
  const auto status = std::filesystem::is_directory(arguments[0], ignored) ? status_of_directory(arguments[0])
                                                                           : status_of_file(arguments[0]);
  if (!status.ok()) return file_error(status.status());
  std::get<0>(printer)->snapshot_status(*status);
  return {};
}

Exit run_hashkv(const Context& context, const Arguments& arguments, int64_t revision) {
  if (arguments.size() != 1) return bad_args("accepts 1 arg(s), received " + std::to_string(arguments.size()));
  auto printer = context.printer_for(Printed::kSnapshots);
  if (auto* exit = std::get_if<Exit>(&printer)) return std::move(*exit);
  const auto hash = server::hash_offline(arguments[0], revision);
  if (!hash.ok()) return file_error(hash.status());
  std::get<0>(printer)->file_hash({hash->hash, hash->hash_revision, hash->compact_revision});
  return {};
}

// ---- restore ----

struct RestoreFlags {
  std::string data_dir;
  std::string initial_cluster;
  std::string initial_cluster_token = "etcd-cluster";
  std::string initial_advertise_peer_urls = "http://localhost:2380";
  std::string name = "default";
  bool skip_hash_check = false;
  int64_t bump_revision = 0;
  bool mark_compacted = false;
};

Exit run_restore(const Context& context, const Arguments& arguments, const RestoreFlags& flags, bool named) {
  if (arguments.size() != 1) return bad_args("snapshot restore requires exactly one argument");
  server::RestoreOptions options;
  options.backup = arguments[0];
  // As kvd names it when it isn't told.
  options.data_dir = !flags.data_dir.empty() ? flags.data_dir : named ? flags.name + ".kvd" : "kvd.data";
  options.name = flags.name;
  options.initial_cluster_token = flags.initial_cluster_token;
  auto urls = server::parse_url_list(flags.initial_advertise_peer_urls);
  if (!urls.ok()) return bad_args("--initial-advertise-peer-urls: " + urls.status().text());
  options.initial_advertise_peer_urls = *std::move(urls);
  if (!flags.initial_cluster.empty()) {
    auto members = server::parse_initial_cluster(flags.initial_cluster);
    if (!members.ok()) return bad_args("--initial-cluster: " + members.status().text());
    options.initial_cluster = *std::move(members);
  }
  options.skip_hash_check = flags.skip_hash_check;
  options.bump_revision = flags.bump_revision;
  options.mark_compacted = flags.mark_compacted;
  const auto restored = server::restore(options);
  if (!restored.ok()) {
    return file_error(restored.status(),
                      restored.status().code() == Code::kInvalidArgument ? kExitBadArgs : kExitError);
  }
  context.err << "Restored revision " << restored->revision << " to " << options.data_dir << ": member "
              << hex(restored->member_id) << " of cluster " << hex(restored->cluster_id) << '\n';
  return {};
}

std::unique_ptr<Command> save_command(Command& root, Context& context) {
  auto save = std::make_unique<Command>();
  save->name = "save";
  save->arguments = "<filename>";
  save->summary = "Stores a backup of one member's state in a file";
  save->description =
      "Stores a backup of one member's state in a file, from a member that serves, or with --data-dir from the\n"
      "directory of one that is stopped. There is no time limit, unless --command-timeout is given.";
  save->examples =
      "  kvctl --endpoints 127.0.0.1:2379 snapshot save backup.db\n"
      "  kvctl snapshot save --data-dir /var/lib/kvd backup.db";
  auto data_dir = std::make_shared<std::string>();
  save->flags.add("data-dir", *data_dir, "take it from this directory of a stopped member");
  save->run = [&root, &context, data_dir](const Arguments& arguments) -> Exit {
    if (arguments.size() != 1) return bad_args("snapshot save expects one argument <filename>");
    if (!data_dir->empty()) return save_from_directory(context, *data_dir, arguments[0]);
    return save_from_server(context, arguments[0], root.flags.changed("command-timeout"));
  };
  return save;
}

std::unique_ptr<Command> restore_command(Context& context) {
  auto restore = std::make_unique<Command>();
  restore->name = "restore";
  restore->arguments = "<filename> --data-dir {output dir} [options]";
  restore->summary = "Makes the data directory of a member of a new cluster from a backup";
  restore->description =
      "Makes the data directory of one member of a new cluster from a backup. Run it once for each member, with the\n"
      "same file and the same --initial-cluster; then start the members with the same flags.";
  restore->examples =
      "  kvctl snapshot restore backup.db --name m1 --data-dir /var/lib/kvd \\\n"
      "    --initial-cluster m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380 \\\n"
      "    --initial-advertise-peer-urls http://10.0.0.1:2380";
  auto flags = std::make_shared<RestoreFlags>();
  Flags& f = restore->flags;
  f.add("data-dir", flags->data_dir, "directory to make; kvd.data, or NAME.kvd when --name is given");
  f.add("initial-cluster", flags->initial_cluster, "all members of the new cluster (empty: this one alone)");
  f.add("initial-cluster-token", flags->initial_cluster_token, "tells clusters with the same addresses apart");
  f.add("initial-advertise-peer-urls", flags->initial_advertise_peer_urls, "where the others reach this member");
  f.add("name", flags->name, "this member's name");
  f.add("skip-hash-check", flags->skip_hash_check, "don't compare the SHA-256 at the end of the file");
  f.add("bump-revision", flags->bump_revision, "raise the revision by so much");
  f.add("mark-compacted", flags->mark_compacted,
        "mark all revisions up to the raised one as compacted (required with --bump-revision)");
  const Command* const self = restore.get();
  restore->run = [&context, flags, self](const Arguments& arguments) {
    return run_restore(context, arguments, *flags, self->flags.changed("name"));
  };
  return restore;
}

}  // namespace

void add_snapshot_commands(Command& root, Context& context) {
  auto snapshot = std::make_unique<Command>();
  snapshot->name = "snapshot";
  snapshot->arguments = "<subcommand>";
  snapshot->summary = "Saves, checks and restores backups";
  snapshot->examples =
      "  kvctl --endpoints 127.0.0.1:2379 snapshot save backup.db\n"
      "  kvctl snapshot status backup.db -w table";
  snapshot->group = kMaintenanceGroup;

  auto status = std::make_unique<Command>();
  status->name = "status";
  status->arguments = "<filename>";
  status->summary = "Checks a backup and tells what it holds";
  status->description =
      "Checks every byte of a backup and tells what it holds, or the data directory of a stopped member.\n\n"
      "The simple format is a list with commas: hash, revision, total keys, total size, version.";
  status->examples =
      "  kvctl snapshot status backup.db\n"
      "  kvctl snapshot status /var/lib/kvd -w table";
  status->run = [&context](const Arguments& arguments) { return run_status(context, arguments); };

  snapshot->children.push_back(save_command(root, context));
  snapshot->children.push_back(std::move(status));
  snapshot->children.push_back(restore_command(context));
  root.children.push_back(std::move(snapshot));

  auto hashkv = std::make_unique<Command>();
  hashkv->name = "hashkv";
  hashkv->arguments = "<filename>";
  hashkv->summary = "Prints the hash of the history in a backup or in a stopped member's directory";
  hashkv->description =
      "Prints the hash of the history in a backup or in a stopped member's data directory: what 'kvctl endpoint "
      "hashkv\n"
      "--rev' prints of a member that had reached that revision, and compacted up to the same one.";
  hashkv->examples =
      "  kvctl hashkv backup.db\n"
      "  kvctl hashkv /var/lib/kvd --rev 1234";
  hashkv->group = kMaintenanceGroup;
  auto revision = std::make_shared<int64_t>(0);
  hashkv->flags.add("rev", *revision, "hash the history up to this revision (0: the newest)");
  hashkv->run = [&context, revision](const Arguments& arguments) { return run_hashkv(context, arguments, *revision); };
  root.children.push_back(std::move(hashkv));
}

}  // namespace kv::kvctl
